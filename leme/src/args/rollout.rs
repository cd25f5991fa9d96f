//! The command line of rollouts.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{ChosenArgs, ConnectArgs, duration, number};

/// `leme rollout`.
#[derive(Debug, Args)]
pub struct RolloutArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    #[command(subcommand)]
    pub command: RolloutCommand,
}

/// What to do with the rollouts of Deployments, DaemonSets, StatefulSets and DeploymentConfigs.
#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// Follow a rollout until it is done
    Status {
        #[command(flatten)]
        chosen: ChosenArgs,
        /// Follow it, rather than say how far it is
        #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
        watch: bool,
        /// How long to follow it; without, until it is done
        #[arg(long, value_parser = duration, value_name = "DURATION")]
        timeout: Option<Duration>,
    },
    /// List the revisions, or show one
    History {
        #[command(flatten)]
        chosen: ChosenArgs,
        /// Show the template of this revision
        #[arg(long, value_name = "N", value_parser = number::<i64>, allow_negative_numbers = true)]
        revision: Option<i64>,
    },
    /// Go back to an earlier template
    Undo {
        #[command(flatten)]
        chosen: ChosenArgs,
        /// The revision to go back to; without, the one before the present
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = number::<i64>, allow_negative_numbers = true)]
        to_revision: i64,
    },
    /// Roll the same template out again
    Restart {
        #[command(flatten)]
        chosen: ChosenArgs,
    },
    /// Roll a DeploymentConfig out once more, with the images that its triggers name now
    Latest {
        /// The DeploymentConfig
        #[arg(value_name = "DEPLOYMENTCONFIG")]
        config: String,
        /// Take the template as it is, and no newer images
        #[arg(long)]
        again: bool,
    },
    /// Stop the rollout of a DeploymentConfig that is under way
    Cancel {
        #[command(flatten)]
        chosen: ChosenArgs,
    },
    /// Try the last rollout of a DeploymentConfig again, which has failed
    Retry {
        #[command(flatten)]
        chosen: ChosenArgs,
    },
    /// Roll changes of the template out no more
    Pause {
        #[command(flatten)]
        chosen: ChosenArgs,
    },
    /// Roll changes of the template out again
    Resume {
        #[command(flatten)]
        chosen: ChosenArgs,
    },
}
