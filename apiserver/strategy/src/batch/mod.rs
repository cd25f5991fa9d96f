//! The batch group.

mod conditions;
pub(crate) mod cron_job;
mod indexes;
pub(crate) mod job;
mod policies;
mod spec;
mod status;
mod template;
