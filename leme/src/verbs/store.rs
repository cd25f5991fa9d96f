//! `leme store`: the embedded store of a cluster that does not run, looked through, copied, put back, saved.
//!
//! Knows: where the file is, how a report reads. Refuses to know: what is in the file; that is the store's.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use leme_store::embedded::{self, Report};

use crate::args::DEFAULT_DATA_DIR;
use crate::cluster::data::{DataDir, Lock, Seat};
use crate::cluster::fresh::Fresh;
use crate::say;

/// `leme store`.
#[derive(Debug, Args)]
pub struct StoreArgs {
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// What to do with a store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Look through every record and every page without changing anything; exit code 1 if anything is damaged
    Check {
        /// A store or a backup; by default the store of the data directory
        file: Option<PathBuf>,
        /// Where the cluster keeps its state
        #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Write the present state into a file that is not there yet
    Backup {
        /// The file to write
        file: PathBuf,
        /// Where the cluster keeps its state
        #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Put a backup in the place of the store, which is kept beside it
    Restore {
        /// The backup
        file: PathBuf,
        /// Where the cluster keeps its state
        #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Bring back every record that is whole from a damaged store, which is kept beside the new one
    Salvage {
        /// A store; by default the one of the data directory
        file: Option<PathBuf>,
        /// Where the cluster keeps its state
        #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
        data_dir: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be used, and when a check finds damage.
pub fn run(command: &StoreCommand) -> Result<()> {
    match command {
        StoreCommand::Check { file, data_dir } => check(file.as_deref(), data_dir),
        StoreCommand::Backup { file, data_dir } => backup(file, data_dir),
        StoreCommand::Restore { file, data_dir } => restore(file, data_dir),
        StoreCommand::Salvage { file, data_dir } => salvage(file.as_deref(), data_dir),
    }
}

/// The store of a data directory, which nobody else uses as long as the lock lives.
fn store(data_dir: &Path) -> Result<(PathBuf, Lock)> {
    let data = DataDir::open(data_dir)?;
    let lock = data.lock(Seat::Server)?;
    Ok((data.store(), lock))
}

/// The file that is named, else the store of the data directory.
fn named(file: Option<&Path>, data_dir: &Path) -> Result<(PathBuf, Option<Lock>)> {
    match file {
        Some(file) => Ok((file.to_owned(), None)),
        None => {
            if !DataDir::exists(data_dir)? {
                bail!(
                    "{} is no data directory of leme: name another --data-dir",
                    data_dir.display()
                );
            }
            store(data_dir).map(|(path, lock)| (path, Some(lock)))
        }
    }
}

fn check(file: Option<&Path>, data_dir: &Path) -> Result<()> {
    let (path, _lock) = named(file, data_dir)?;
    let report = embedded::check(&path)?;
    say::result(told(&path, &report))?;
    if report.is_sound() {
        return Ok(());
    }
    let shown = path.display();
    bail!("{shown} is damaged: `leme store salvage {shown}` brings back every record that is whole")
}

fn backup(to: &Path, data_dir: &Path) -> Result<()> {
    let (path, _lock) = named(None, data_dir)?;
    let report = embedded::backup(&path, to)?;
    say::line(format_args!(
        "{} objects as of revision {} are in {}",
        report.objects,
        report.revision,
        to.display()
    ))
}

fn restore(from: &Path, data_dir: &Path) -> Result<()> {
    let (data, fresh) = DataDir::begin(data_dir)?;
    let (path, _lock) = (data.store(), data.lock(Seat::Server)?);
    let restored = || {
        let folder = path.parent().context("the store has no folder")?;
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        embedded::restore(from, &path).map_err(anyhow::Error::from)
    };
    let (report, aside) = match restored() {
        Ok(restored) => restored,
        Err(error) => return Err(Fresh::given_up(fresh, error)),
    };
    say::line(format_args!(
        "{} objects are back; the revision goes on at {}",
        report.objects, report.revision
    ))?;
    tell_aside(aside.as_deref())
}

fn salvage(file: Option<&Path>, data_dir: &Path) -> Result<()> {
    let (path, _lock) = named(file, data_dir)?;
    let (report, aside) = embedded::salvage(&path)?;
    say::result(told(&path, &report))?;
    tell_aside(aside.as_deref())
}

fn tell_aside(aside: Option<&Path>) -> Result<()> {
    let tell =
        |aside: &Path| say::line(format_args!("what was there before is {}", aside.display()));
    aside.map_or(Ok(()), tell)
}

/// A report for people: a line of numbers, then a line for everything that is wrong.
fn told(path: &Path, report: &Report) -> String {
    let mut lines = vec![format!(
        "{}: revision {}, {} objects whole",
        path.display(),
        report.revision,
        report.objects
    )];
    if report.unchecked > 0 {
        lines.push(format!(
            "{} of them have no checksum yet: they get one at the next start",
            report.unchecked
        ));
    }
    lines.extend(report.refusal.iter().map(|why| format!("no server would start with it: {why}")));
    if report.pages > 0 {
        lines.push(format!("{} pages cannot be used", report.pages));
    }
    let objects = report.lost.iter();
    lines.extend(objects.map(|(key, revision)| format!("lost: {key} (revision {revision})")));
    let records = report.unknown.iter();
    lines.extend(records.map(|revision| {
        format!("lost: revision {revision} of an object that is missing now, or as it was before")
    }));
    let doubtful = report.doubtful.iter();
    lines.extend(doubtful.map(|key| format!("may have been deleted before: {key}")));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_what_is_wrong() {
        let report = Report {
            revision: 9,
            objects: 3,
            unchecked: 1,
            lost: vec![("/registry/things/a".to_owned(), 4)],
            unknown: vec![7],
            pages: 2,
            refusal: Some("why".to_owned()),
            doubtful: vec!["/registry/things/b".to_owned()],
        };
        let expected = "db: revision 9, 3 objects whole\n\
            1 of them have no checksum yet: they get one at the next start\n\
            no server would start with it: why\n\
            2 pages cannot be used\n\
            lost: /registry/things/a (revision 4)\n\
            lost: revision 7 of an object that is missing now, or as it was before\n\
            may have been deleted before: /registry/things/b\n";
        assert_eq!(told(Path::new("db"), &report), expected);
    }
}
