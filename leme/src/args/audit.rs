//! Flags of the audit log, with upstream's names.

use std::path::PathBuf;

use clap::Args;

/// What is told of requests, and where.
#[derive(Clone, Debug, Args)]
pub struct AuditFlags {
    /// Policy of which requests are written to the audit log, and how much of each
    #[arg(long, value_name = "FILE", requires = "audit_log_path")]
    pub audit_policy_file: Option<PathBuf>,
    /// File of the audit log; - for standard output
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    pub audit_log_path: Option<PathBuf>,
    /// Days that old files of the audit log are kept; 0 for ever
    #[arg(long, default_value_t = 0, value_name = "DAYS")]
    pub audit_log_maxage: u32,
    /// Old files of the audit log that are kept; 0 for all
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub audit_log_maxbackup: u32,
    /// Megabytes of a file of the audit log until another takes its place
    #[arg(long, default_value_t = 100, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..))]
    pub audit_log_maxsize: u32,
}
