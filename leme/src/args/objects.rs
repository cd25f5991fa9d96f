//! The command line of what looks at objects: show, describe, wait, say why.

use std::time::Duration;

use clap::Args;

use super::{ConnectArgs, duration};

/// Which objects a command is about.
#[derive(Debug, Default, Args)]
pub struct ChosenArgs {
    /// KIND NAME.., KIND/NAME.. or KIND with -l or --all; a KIND may also be KIND.GROUP or KIND.VERSION.GROUP
    #[arg(value_name = "KIND", required_unless_present = "files")]
    pub what: Vec<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Which of a kind's objects, where they are not named.
#[derive(Debug, Default, Args)]
pub struct FilterArgs {
    /// What files describe
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    pub files: Vec<String>,
    /// Label selector
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Field selector
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// All objects of the kind
    #[arg(long, conflicts_with_all = ["selector", "field_selector"])]
    pub all: bool,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

/// `leme get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// KIND [NAME..], KIND/NAME.. or KIND,KIND; a KIND may also be KIND.GROUP or KIND.VERSION.GROUP, or a category such as all
    #[arg(required_unless_present_any = ["raw", "files"], value_name = "KIND")]
    pub what: Vec<String>,
    /// What files describe
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", conflicts_with = "what")]
    pub files: Vec<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Label selector
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Field selector
    #[arg(long, value_name = "SELECTOR")]
    pub field_selector: Option<String>,
    /// Show changes as they happen
    #[arg(short, long)]
    pub watch: bool,
    /// Show changes from now on, not what there is
    #[arg(long)]
    pub watch_only: bool,
    /// yaml, json, name, wide, jsonpath=TEMPLATE, jsonpath-file=FILE, custom-columns=NAME:PATH,.. or custom-columns-file=FILE
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<String>,
    /// No column headings
    #[arg(long)]
    pub no_headers: bool,
    /// A last column with all labels
    #[arg(long)]
    pub show_labels: bool,
    /// A column for each of these labels
    #[arg(short = 'L', long, value_delimiter = ',', value_name = "LABEL,..")]
    pub label_columns: Vec<String>,
    /// In the order of a field, such as .metadata.creationTimestamp
    #[arg(long, value_name = "PATH")]
    pub sort_by: Option<String>,
    /// Put the kind before each name
    #[arg(long)]
    pub show_kind: bool,
    /// Do not complain about what is not there
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Show managed fields in YAML and JSON
    #[arg(long)]
    pub show_managed_fields: bool,
    /// A subresource in place of the object, such as status or scale
    #[arg(long, value_name = "NAME")]
    pub subresource: Option<String>,
    /// GET of a path of the server, answered as it is
    #[arg(long, value_name = "PATH", conflicts_with = "what")]
    pub raw: Option<String>,
}

/// `leme describe`.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    #[command(flatten)]
    pub chosen: ChosenArgs,
    /// Show the events about it
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub show_events: bool,
}

/// `leme why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// KIND NAME or KIND/NAME
    #[arg(required = true, value_name = "KIND")]
    pub what: Vec<String>,
}

/// `leme wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    #[command(flatten)]
    pub chosen: ChosenArgs,
    /// condition=TYPE[=STATUS], jsonpath=PATH[=VALUE], delete, create or served
    #[arg(long = "for", value_name = "WHAT")]
    pub for_: String,
    /// How long to wait
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub timeout: Duration,
}
