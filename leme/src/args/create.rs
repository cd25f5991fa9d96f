//! The command line of `leme create`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{ConnectArgs, DryRun, count, duration, number};

/// `leme create`.
#[derive(Debug, Args)]
#[command(subcommand_value_name = "KIND", subcommand_help_heading = "Kinds")]
pub struct CreateArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// What files describe
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    pub files: Vec<String>,
    /// Only try
    #[arg(long, global = true, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    pub dry_run: DryRun,
    /// yaml, json, name or jsonpath=TEMPLATE
    #[arg(short, long, global = true, value_name = "FORMAT")]
    pub output: Option<String>,
    #[command(subcommand)]
    pub command: Option<CreateCommand>,
}

/// What to create.
#[derive(Debug, Subcommand)]
pub enum CreateCommand {
    /// A Deployment
    #[command(visible_alias = "deploy")]
    Deployment(WorkloadArgs),
    /// A Job, of an image or of a CronJob
    Job(WorkloadArgs),
    /// A CronJob
    #[command(visible_alias = "cj")]
    Cronjob(WorkloadArgs),
    /// A ConfigMap
    #[command(visible_alias = "cm")]
    Configmap(ConfigArgs),
    /// A Secret
    Secret {
        #[command(subcommand)]
        command: SecretCommand,
    },
    /// A Namespace
    #[command(visible_alias = "ns")]
    Namespace {
        /// Its name
        name: String,
    },
    /// A Service
    #[command(visible_alias = "svc")]
    Service {
        #[command(subcommand)]
        command: ServiceCommand,
    },
    /// A ServiceAccount
    #[command(visible_alias = "sa")]
    Serviceaccount {
        /// Its name
        name: String,
    },
    /// A Role
    Role(AccessArgs),
    /// A ClusterRole
    Clusterrole(AccessArgs),
    /// A RoleBinding
    Rolebinding(BindingArgs),
    /// A ClusterRoleBinding
    Clusterrolebinding(BindingArgs),
    /// An Ingress
    #[command(visible_alias = "ing")]
    Ingress(IngressArgs),
    /// A ResourceQuota
    #[command(visible_alias = "resourcequota")]
    Quota(QuotaArgs),
    /// A PriorityClass
    #[command(visible_alias = "pc")]
    Priorityclass(PriorityArgs),
    /// A PodDisruptionBudget
    #[command(visible_alias = "pdb")]
    Poddisruptionbudget(BudgetArgs),
    /// A token of a ServiceAccount
    Token(TokenArgs),
}

/// A Deployment, Job or CronJob.
#[derive(Debug, Args)]
pub struct WorkloadArgs {
    /// Its name
    pub name: String,
    /// Image of its container; of a Deployment one for each of several
    #[arg(long, value_delimiter = ',', value_name = "IMAGE")]
    pub image: Vec<String>,
    /// Number of replicas of a Deployment
    #[arg(short, long, value_name = "N", value_parser = count::<u32>, allow_negative_numbers = true)]
    pub replicas: Option<u32>,
    /// Port that the containers of a Deployment listen on
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// What a Job is made of: cronjob/NAME
    #[arg(long, value_name = "cronjob/NAME", conflicts_with = "image")]
    pub from: Option<String>,
    /// When a CronJob runs, such as `*/5 * * * *`
    #[arg(long, value_name = "SCHEDULE")]
    pub schedule: Option<String>,
    /// Whether the pods of a CronJob start their containers again: OnFailure or Never
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,
    /// The command of the container
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// A ConfigMap or a Secret, key by key.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Its name
    pub name: String,
    /// A key and its value
    #[arg(long, value_name = "KEY=VALUE")]
    pub from_literal: Vec<String>,
    /// A file, whose name is the key unless one is said; or all files of a directory
    #[arg(long, value_name = "[KEY=]FILE|DIR")]
    pub from_file: Vec<String>,
    /// A file of lines KEY=VALUE
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from_literal", "from_file"])]
    pub from_env_file: Vec<PathBuf>,
    /// Type of a Secret
    #[arg(long = "type", value_name = "TYPE")]
    pub type_: Option<String>,
}

/// The types of Secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Of keys and values
    Generic(ConfigArgs),
    /// Of a certificate and its key
    Tls(TlsArgs),
    /// Of what a registry of images asks for
    DockerRegistry(RegistryArgs),
}

/// A Secret of a certificate.
#[derive(Debug, Args)]
pub struct TlsArgs {
    /// Its name
    pub name: String,
    /// Certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub cert: PathBuf,
    /// Its key, PEM
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

/// A Secret for a registry.
#[derive(Debug, Args)]
pub struct RegistryArgs {
    /// Its name
    pub name: String,
    /// The registry
    #[arg(long, default_value = "https://index.docker.io/v1/", value_name = "URL")]
    pub docker_server: String,
    /// User
    #[arg(long, value_name = "NAME", required_unless_present = "from_file")]
    pub docker_username: Option<String>,
    /// Password
    #[arg(long, value_name = "TEXT", required_unless_present = "from_file")]
    pub docker_password: Option<String>,
    /// Mail address
    #[arg(long, value_name = "ADDRESS")]
    pub docker_email: Option<String>,
    /// A file as docker itself keeps it, in place of all these
    #[arg(long, value_name = "FILE", conflicts_with_all = ["docker_username", "docker_password"])]
    pub from_file: Option<PathBuf>,
}

/// The types of Services.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// With an address inside the cluster
    Clusterip(ServiceArgs),
    /// With a port of every node besides
    Nodeport(ServiceArgs),
    /// With an address outside besides
    Loadbalancer(ServiceArgs),
    /// A name for what is elsewhere
    Externalname(ServiceArgs),
}

/// A Service.
#[derive(Debug, Args)]
pub struct ServiceArgs {
    /// Its name, and the app label of the pods that it selects
    pub name: String,
    /// A port and the one of the pods behind it
    #[arg(long, value_delimiter = ',', value_name = "PORT[:TARGET]")]
    pub tcp: Vec<String>,
    /// The address, or None
    #[arg(long, value_name = "IP")]
    pub clusterip: Option<String>,
    /// The port of the nodes
    #[arg(long, value_name = "PORT")]
    pub node_port: Option<u16>,
    /// What a name stands for
    #[arg(long, value_name = "NAME")]
    pub external_name: Option<String>,
}

/// A Role or ClusterRole.
#[derive(Debug, Args)]
pub struct AccessArgs {
    /// Its name
    pub name: String,
    /// What may be done
    #[arg(long, value_delimiter = ',', value_name = "VERB,..")]
    pub verb: Vec<String>,
    /// With what
    #[arg(long, value_delimiter = ',', value_name = "KIND[.GROUP][/SUBRESOURCE],..")]
    pub resource: Vec<String>,
    /// Only with objects of these names
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    pub resource_name: Vec<String>,
    /// Of a ClusterRole: paths that are no resources
    #[arg(long = "non-resource-url", value_delimiter = ',', value_name = "PATH,..")]
    pub non_resource_url: Vec<String>,
    /// Of a ClusterRole: made of all that have these labels
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE,..")]
    pub aggregation_rule: Vec<String>,
}

/// A RoleBinding or ClusterRoleBinding.
#[derive(Debug, Args)]
pub struct BindingArgs {
    /// Its name
    pub name: String,
    /// The ClusterRole
    #[arg(long, value_name = "NAME", conflicts_with = "role")]
    pub clusterrole: Option<String>,
    /// The Role
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// To whom
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    pub user: Vec<String>,
    /// To which groups
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    pub group: Vec<String>,
    /// To which ServiceAccounts
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE:NAME,..")]
    pub serviceaccount: Vec<String>,
}

/// An Ingress.
#[derive(Debug, Args)]
pub struct IngressArgs {
    /// Its name
    pub name: String,
    /// A path and the Service behind it; a path that ends in * stands for all that begin so
    #[arg(long, value_name = "HOST/PATH=SERVICE:PORT[,tls[=SECRET]]")]
    pub rule: Vec<String>,
    /// Its IngressClass
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,
    /// The Service behind all other paths
    #[arg(long, value_name = "SERVICE:PORT")]
    pub default_backend: Option<String>,
    /// An annotation
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,
}

/// A ResourceQuota.
#[derive(Debug, Args)]
pub struct QuotaArgs {
    /// Its name
    pub name: String,
    /// How much there may be
    #[arg(long, value_delimiter = ',', value_name = "NAME=QUANTITY,..")]
    pub hard: Vec<String>,
    /// What is counted
    #[arg(long, value_delimiter = ',', value_name = "SCOPE,..")]
    pub scopes: Vec<String>,
}

/// A PriorityClass.
#[derive(Debug, Args)]
pub struct PriorityArgs {
    /// Its name
    pub name: String,
    /// The priority
    #[arg(long, value_name = "N", value_parser = number::<i32>, allow_negative_numbers = true, default_value_t = 0)]
    pub value: i32,
    /// For pods that name no class
    #[arg(long, default_value_t = false, num_args = 0..=1, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub global_default: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub description: String,
    /// Whether its pods take the place of others: PreemptLowerPriority or Never
    #[arg(long, value_name = "POLICY", default_value = "PreemptLowerPriority")]
    pub preemption_policy: String,
}

/// A PodDisruptionBudget.
#[derive(Debug, Args)]
pub struct BudgetArgs {
    /// Its name
    pub name: String,
    /// The labels of its pods
    #[arg(long, value_name = "SELECTOR")]
    pub selector: String,
    /// How many must stay available, in number or percent
    #[arg(
        long,
        value_name = "N|N%",
        required_unless_present = "max_unavailable",
        conflicts_with = "max_unavailable"
    )]
    pub min_available: Option<String>,
    /// How many may be unavailable, in number or percent
    #[arg(long, value_name = "N|N%")]
    pub max_unavailable: Option<String>,
}

/// A token.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// The ServiceAccount
    pub name: String,
    /// How long it is good for
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub duration: Option<Duration>,
    /// For whom it is
    #[arg(long, value_delimiter = ',', value_name = "AUDIENCE,..")]
    pub audience: Vec<String>,
}
