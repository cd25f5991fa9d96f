//! A store that nobody has open: looked through, copied, put back, saved from damage.
//!
//! Knows: what may be believed of a damaged file, and in which order. Refuses to know: running stores, other engines.
//!
//! What is believed: a record whose checksums are right. Where it lies in the tree of the newest commit it is of that
//! commit. Where pages of that tree are lost, records of the missing revisions are searched for in the whole file; there
//! an object that was deleted long ago can turn up again, so what was found like that and may be such a one is named.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backend::DataFile;
use super::damage::{self, damaged, foreign};
use super::disk::{COMPACTED, CURRENT_FORMAT, Disk, FORMAT, REVISION, Work};
use super::overlay::{self, Overlay};
use super::pages::{Lost, Pages, Place, Walk};
use super::record::{HEAD, LONGEST_KEY, MAGIC, Record, Trust};
use super::request::Allowance;
use crate::StoreError;

/// How far the revision moves on when a store goes back to an older state: no client may have seen one that comes again.
const BUMP: u64 = 1_000_000;
/// Read at once when the whole file is searched.
const WINDOW: usize = 4 << 20;
/// No value is longer: a request's body is bounded far below.
const LONGEST_VALUE: usize = 64 << 20;
/// Put into one transaction.
const CHUNK: usize = 512;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The newest revision.
    pub revision: u64,
    /// Objects that are as they were written, as far as can be told.
    pub objects: usize,
    /// How many of them were written without a checksum by an older version.
    pub unchecked: usize,
    /// Objects whose value is lost, with the revision that wrote it.
    pub lost: Vec<(String, u64)>,
    /// Records of which nothing can be told, by revision.
    pub unknown: Vec<u64>,
    /// Pages of the database that cannot be used.
    pub pages: usize,
    /// Why a server would not start with the file, where that was tried.
    pub refusal: Option<String>,
    /// Objects found outside the database's own order: they may have been deleted before.
    pub doubtful: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.lost.is_empty() && self.unknown.is_empty() && self.pages == 0 && self.refusal.is_none()
    }
}

/// Looks a file through without changing it, and tries whether a server would start with it: every record can be whole
/// where what leads to them is not.
///
/// # Errors
/// When the file cannot be read, is in use or of a newer version. Damage is no error.
pub fn check(path: &Path) -> Result<Report, StoreError> {
    let file = open(path)?;
    let pages = pages(&file, path)?;
    let mut report = Survey::of(&pages, path, false)?.report();
    let copy = Overlay::new(&file).map_err(|e| unreadable(path, &e))?;
    report.refusal = overlay::refusal(path, copy);
    Ok(report)
}

/// Writes the present state of a store, without its history, into a new file that is a store itself.
///
/// # Errors
/// As [`check`]; also when the store is damaged, or there is something at `to`.
pub fn backup(from: &Path, to: &Path) -> Result<Report, StoreError> {
    let file = open(from)?;
    let pages = pages(&file, from)?;
    let survey = Survey::of(&pages, from, false)?;
    let report = survey.report();
    if !report.is_sound() {
        return Err(damaged(from, "so a backup would not be whole"));
    }
    survey.write(&pages, to, survey.revision)?;
    Ok(report)
}

/// Puts a backup in the place of a store, if there is one; that is kept beside it, and its path is given back.
///
/// # Errors
/// As [`check`]; also when the backup is damaged.
pub fn restore(from: &Path, to: &Path) -> Result<(Report, Option<PathBuf>), StoreError> {
    let file = open(from)?;
    let pages = pages(&file, from)?;
    let survey = Survey::of(&pages, from, false)?;
    let mut report = survey.report();
    if !report.is_sound() {
        return Err(damaged(from, "so it cannot be put in the place of a store"));
    }
    let present = to.exists().then(|| check(to)).transpose();
    let newest = present.ok().flatten().map_or(0, |present| present.revision);
    report.revision = survey.revision.max(newest) + BUMP;
    let aside = replace(to, |new| survey.write(&pages, new, report.revision))?;
    Ok((report, aside))
}

/// Brings back every record that is whole into a store that takes the place of the damaged one, which is kept beside it.
/// Gives what was found and where the damaged file is now.
///
/// # Errors
/// As [`check`].
pub fn salvage(path: &Path) -> Result<(Report, Option<PathBuf>), StoreError> {
    let file = open(path)?;
    let pages = pages(&file, path)?;
    let survey = Survey::of(&pages, path, true)?;
    let mut report = survey.report();
    report.revision += BUMP;
    let aside = replace(path, |new| survey.write(&pages, new, report.revision))?;
    Ok((report, aside))
}

/// What can be told of a file.
#[derive(Clone, Default)]
struct Survey {
    revision: u64,
    compacted: u64,
    /// The newest change of each key.
    keys: BTreeMap<String, Found>,
    unknown: BTreeMap<u64, Place>,
    lost: Vec<Lost>,
}

/// A change, and where its record lies.
#[derive(Clone, Copy)]
struct Found {
    revision: u64,
    created: u64,
    place: Place,
    trust: Trust,
    outside: bool,
}

impl Survey {
    /// What the newest commit holds; thoroughly, also what records lie in the file that are newer than it.
    fn of(pages: &Pages<'_>, path: &Path, thorough: bool) -> Result<Self, StoreError> {
        let either = [0, 1].map(|slot| Self::of_commit(pages, slot));
        let [first, second] = &either;
        let (newer, walk) = match first.0.revision >= second.0.revision {
            true => &either[0],
            false => &either[1],
        };
        let mut survey = newer.clone();
        let number = |name| walk.meta.as_ref().and_then(|meta| meta.get(name)).copied();
        if let Some(format) = number(FORMAT).filter(|format| *format > CURRENT_FORMAT) {
            return Err(damage::newer(path, format));
        }
        survey.compacted = number(COMPACTED).unwrap_or(u64::MAX);
        survey.lost.clone_from(&walk.lost);
        survey.search(pages, thorough);
        if !pages.is_database() && survey.keys.is_empty() {
            return Err(foreign(path));
        }
        Ok(survey)
    }

    fn of_commit(pages: &Pages<'_>, slot: usize) -> (Self, Walk) {
        let mut survey = Self::default();
        let walk =
            pages.walk(slot, &mut |revision, bytes, place| match Record::read(revision, bytes) {
                Some((record, trust)) => {
                    survey.unknown.remove(&record.previous);
                    survey.add(&record, trust, place, false);
                }
                None => {
                    survey.unknown.insert(revision, place);
                }
            });
        let told = walk.meta.as_ref().and_then(|meta| meta.get(REVISION)).copied();
        survey.revision = survey.revision.max(told.unwrap_or(0));
        (survey, walk)
    }

    fn add(&mut self, record: &Record<'_>, trust: Trust, place: Place, outside: bool) {
        let Record { revision, created, .. } = *record;
        self.revision = self.revision.max(revision);
        let found = Found { revision, created, place, trust, outside };
        match self.keys.get_mut(&*record.key) {
            Some(known) if known.revision < revision => *known = found,
            Some(_) => {}
            None => {
                self.keys.insert(record.key.to_string(), found);
            }
        }
    }

    /// Searches for records of the revisions that are lost: in the page that should hold them, then everywhere.
    fn search(&mut self, pages: &Pages<'_>, thorough: bool) {
        let newer = self.revision.saturating_add(1)..=u64::MAX;
        for Lost { revisions, page } in self.lost.clone() {
            if let Some(place) = page {
                self.search_in(pages, place, std::slice::from_ref(&revisions), false);
            }
        }
        let everywhere =
            Place { offset: 0, len: usize::try_from(pages.len()).unwrap_or(usize::MAX) };
        // The tree names these revisions: it is only not to be seen where their records begin.
        let known: Vec<_> = self.unknown.keys().map(|revision| *revision..=*revision).collect();
        if !known.is_empty() {
            self.search_in(pages, everywhere, &known, false);
        }
        let lost = self.lost.iter().map(|lost| lost.revisions.clone());
        let lost: Vec<_> = lost.chain(thorough.then_some(newer)).collect();
        if !lost.is_empty() {
            self.search_in(pages, everywhere, &lost, true);
        }
    }

    fn search_in(
        &mut self,
        pages: &Pages<'_>,
        place: Place,
        wanted: &[RangeInclusive<u64>],
        outside: bool,
    ) {
        let mut done = 0;
        while done < place.len {
            let offset = place.offset + done as u64;
            let len = (WINDOW + MAGIC.len() - 1).min(place.len - done);
            let Some(window) = pages.bytes(Place { offset, len }) else { return };
            for at in memory_search(&window) {
                self.try_record(pages, offset + at as u64, wanted, outside);
            }
            done += WINDOW;
        }
    }

    fn try_record(
        &mut self,
        pages: &Pages<'_>,
        offset: u64,
        wanted: &[RangeInclusive<u64>],
        outside: bool,
    ) {
        let Some(head) = pages.bytes(Place { offset, len: HEAD }) else { return };
        let Some(len) = record_length(&head) else { return };
        let place = Place { offset, len };
        let Some(bytes) = pages.bytes(place) else { return };
        if let Some((record, trust)) = Record::checked(&bytes)
            && wanted.iter().any(|range| range.contains(&record.revision))
        {
            self.unknown.remove(&record.revision);
            self.add(&record, trust, place, outside);
        }
    }

    /// The objects, in the order of their revisions.
    fn objects(&self) -> Vec<(&str, Found)> {
        let living = self.keys.iter().filter(|(_, found)| found.created != 0);
        let mut objects: Vec<_> = living.map(|(key, found)| (&**key, *found)).collect();
        objects.sort_by_key(|(_, found)| found.revision);
        objects
    }

    fn report(&self) -> Report {
        let mut report = Report {
            revision: self.revision,
            unknown: self.unknown.keys().copied().collect(),
            pages: self.lost.len(),
            ..Report::default()
        };
        for (key, found) in self.objects() {
            match found.trust {
                Trust::ValueLost => report.lost.push((key.to_owned(), found.revision)),
                trust => {
                    report.objects += 1;
                    report.unchecked += usize::from(trust == Trust::Unchecked);
                    // Later deletions would still be there.
                    if found.outside && found.revision <= self.compacted {
                        report.doubtful.push(key.to_owned());
                    }
                }
            }
        }
        report
    }

    /// Writes the objects into a new store.
    fn write(&self, pages: &Pages<'_>, to: &Path, revision: u64) -> Result<(), StoreError> {
        if to.exists() {
            return Err(StoreError::InUse(format!("{} is there already", to.display())));
        }
        let fatal: super::Fatal =
            Arc::new(|why| tracing::error!(why, "cannot write the new store"));
        let file = DataFile::open_plain(to, fatal)?;
        let (store, _, _) = Disk::open(file.clone())?;
        let whole = self.objects().into_iter().filter(|(_, f)| f.trust != Trust::ValueLost);
        let whole: Vec<Found> = whole.map(|(_, found)| found).collect();
        for some in whole.chunks(CHUNK) {
            let bytes: Vec<_> = some.iter().map(|f| (f, pages.bytes(f.place))).collect();
            let records: Vec<Record<'_>> = bytes
                .iter()
                .filter_map(|(f, bytes)| Record::read(f.revision, bytes.as_deref()?))
                .map(|(record, _)| Record { previous: 0, ..record })
                .collect();
            if records.len() < some.len() {
                return Err(StoreError::Unavailable("the file changed while it was read".into()));
            }
            let (allowance, compacted) = (Allowance::Reserved, revision);
            store.commit(&Work {
                records: &records,
                remove: &[],
                revision,
                compacted,
                allowance,
            })?;
        }
        let allowance = Allowance::Reserved;
        store.commit(&Work {
            records: &[],
            remove: &[],
            revision,
            compacted: revision,
            allowance,
        })?;
        drop(store);
        file.finish()
    }
}

/// Where a record may start.
fn memory_search(window: &[u8]) -> impl Iterator<Item = usize> + '_ {
    window.windows(MAGIC.len()).enumerate().filter(|(_, bytes)| *bytes == MAGIC).map(|(at, _)| at)
}

/// How long the record with this head says it is, if that can be.
fn record_length(head: &[u8]) -> Option<usize> {
    let short =
        |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?) as usize);
    let (key, value) = (short(32)?, short(36)?);
    (key <= LONGEST_KEY && value <= LONGEST_VALUE).then_some(HEAD + key + value)
}

/// Opens a file to read it, if no process has it open as a store.
fn open(path: &Path) -> Result<File, StoreError> {
    let file = File::open(path)
        .map_err(|e| StoreError::Unavailable(format!("cannot open {}: {e}", path.display())))?;
    match file.try_lock_shared() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(super::backend::in_use(path)),
        Err(TryLockError::Error(e)) => {
            Err(StoreError::Unavailable(format!("cannot lock {}: {e}", path.display())))
        }
    }
}

fn pages<'f>(file: &'f File, path: &Path) -> Result<Pages<'f>, StoreError> {
    Pages::new(file).map_err(|e| unreadable(path, &e))
}

fn unreadable(path: &Path, e: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("cannot read {}: {e}", path.display()))
}

/// Puts what `write` makes in the place of a file, which gets another name first.
fn replace(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<Option<PathBuf>, StoreError> {
    let failed = |e: std::io::Error| {
        StoreError::Unavailable(format!("cannot put a new file at {}: {e}", path.display()))
    };
    let new = path.with_added_extension("restored");
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    write(&new)?;
    let aside = path.exists().then(|| unused(path));
    if let Some(aside) = &aside {
        std::fs::rename(path, aside).map_err(failed)?;
    }
    std::fs::rename(&new, path).map_err(failed)?;
    super::backend::sync_folder(path).map_err(failed)?;
    Ok(aside)
}

/// A name beside a file that nothing has.
fn unused(path: &Path) -> PathBuf {
    let mut names = (1u32..).map(|n| path.with_added_extension(format!("old{n}")));
    names.find(|name| !name.exists()).unwrap_or_else(|| path.with_added_extension("old"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::EmbeddedStore;
    use crate::{Expect, Outcome, Store};

    /// Numbers that look random and are the same each time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % n
        }
    }

    fn key(i: usize) -> String {
        format!("/registry/things/default/thing-{i:05}")
    }

    fn value(i: usize) -> String {
        let filler = "x".repeat(i * 37 % 3000);
        format!(r#"{{"metadata":{{"name":"thing-{i:05}"}},"spec":"{filler}"}}"#)
    }

    /// A store with objects of many sizes, some of them changed, some deleted; every third one is gone.
    async fn filled(path: &Path, count: usize) {
        let store = EmbeddedStore::open(path).unwrap();
        for i in 0..count {
            let put = store.put(&key(i), "{}".into(), Expect::Absent).await.unwrap();
            let Outcome::Done(first) = put else { panic!() };
            let value = value(i).into();
            let put = store.put(&key(i), value, Expect::Revision(first)).await.unwrap();
            let Outcome::Done(second) = put else { panic!() };
            if i % 3 == 2 {
                store.delete(&key(i), second).await.unwrap();
            }
        }
    }

    async fn found(path: &Path) -> BTreeMap<String, String> {
        let store = EmbeddedStore::open(path).unwrap();
        let page = store.list("/registry/", "", 0, 0).await.unwrap();
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        page.entries.iter().map(|e| (e.key.to_string(), text(&e.value))).collect()
    }

    fn flip(path: &Path, bits: &[u64]) {
        let mut bytes = std::fs::read(path).unwrap();
        for bit in bits {
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        std::fs::write(path, bytes).unwrap();
    }

    /// Where the current values lie in the file.
    fn places(path: &Path) -> BTreeMap<String, Place> {
        let file = File::open(path).unwrap();
        let pages = Pages::new(&file).unwrap();
        let survey = Survey::of(&pages, path, false).unwrap();
        assert!(survey.report().is_sound());
        survey.objects().into_iter().map(|(key, f)| (key.to_owned(), f.place)).collect()
    }

    /// Red when lost pages are not searched for in the whole file.
    #[tokio::test]
    async fn every_whole_record_survives_a_thousand_flipped_bits() {
        for seed in [1, 4] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("store.db");
            filled(&path, 600).await;
            let places = places(&path);
            let len = std::fs::metadata(&path).unwrap().len();
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
            let mut bits: Vec<u64> = (0..1000).map(|_| dice.below(len * 8)).collect();
            // In the byte that tells which of two commits is the newest.
            bits[0] = 9 * 8;
            flip(&path, &bits);
            let (report, aside) = salvage(&path).unwrap();
            assert!(!report.is_sound() && aside.unwrap().exists());
            let back = found(&path).await;
            let hit = |place: &Place| {
                let all = place.offset * 8..(place.offset + place.len as u64) * 8;
                bits.iter().any(|bit| all.contains(bit))
            };
            let mut whole = 0;
            for i in 0..600 {
                match places.get(&key(i)) {
                    Some(place) if !hit(place) => {
                        assert_eq!(back.get(&key(i)), Some(&value(i)), "seed {seed}: {i}");
                        whole += 1;
                    }
                    // The state before may come back, where nothing shows that there was a later one.
                    Some(_) => {
                        let found = back.get(&key(i));
                        assert!(found.is_none_or(|v| *v == value(i) || v == "{}"), "{found:?}");
                    }
                    None => {}
                }
            }
            assert!(whole > 100, "{whole} were not hit");
            let store = EmbeddedStore::open(&path).unwrap();
            assert_eq!(store.revision().await.unwrap(), report.revision);
            let put = store.put("/registry/things/new", "{}".into(), Expect::Absent).await;
            assert_eq!(put.unwrap(), Outcome::Done(report.revision + 1));
        }
    }

    #[tokio::test]
    async fn salvage_of_a_whole_store_changes_no_object() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        filled(&path, 100).await;
        let before = found(&path).await;
        let (report, _) = salvage(&path).unwrap();
        assert!(report.is_sound());
        assert_eq!(report.objects, before.len());
        assert_eq!(found(&path).await, before);
        assert_eq!(check(&path).unwrap(), report);
    }

    /// Red when the revision of the store that is replaced is not looked at.
    #[tokio::test]
    async fn a_backup_comes_back_and_no_revision_comes_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("store.db"), dir.path().join("copy.db"));
        filled(&path, 50).await;
        let before = found(&path).await;
        let report = backup(&path, &copy).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&copy.metadata().unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "others may read {mode:o}");
        assert_eq!(report.objects, before.len());
        assert!(matches!(backup(&path, &copy), Err(StoreError::InUse(_))), "nothing is replaced");
        filled_more(&path).await;
        let newest = check(&path).unwrap().revision;
        let (restored, aside) = restore(&copy, &path).unwrap();
        assert!(restored.revision > newest);
        assert!(aside.is_some());
        assert_eq!(found(&path).await, before);
        let store = EmbeddedStore::open(&path).unwrap();
        let old = store.watch("/registry/", newest).await;
        assert!(matches!(old, Err(StoreError::Compacted { .. })), "watchers list again");
        assert!(matches!(check(&path), Err(StoreError::InUse(_))));
    }

    async fn filled_more(path: &Path) {
        let store = EmbeddedStore::open(path).unwrap();
        for i in 1000..1100 {
            store.put(&key(i), "{}".into(), Expect::Absent).await.unwrap();
        }
    }

    /// Red when only records and pages are looked at: a bit of the header keeps the store from opening, and all is "whole".
    #[tokio::test]
    async fn what_is_said_to_be_whole_opens() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("store.db"), dir.path().join("copy.db"));
        let store = EmbeddedStore::open(&path).unwrap();
        for i in 0..40 {
            store.put(&key(i), value(i).into(), Expect::Absent).await.unwrap();
        }
        // As after a crash: nobody has closed it.
        let crashed = std::fs::read(&path).unwrap();
        drop(store);
        let mut refused = 0;
        for byte in (0..320).step_by(2) {
            std::fs::write(&copy, &crashed).unwrap();
            flip(&copy, &[byte * 8 + byte % 8]);
            let damaged = std::fs::read(&copy).unwrap();
            let checked = check(&copy);
            assert_eq!(std::fs::read(&copy).unwrap(), damaged, "byte {byte} was changed");
            let fatal: super::super::Fatal = Arc::new(|_| {});
            let opened = DataFile::open_plain(&copy, fatal).and_then(Disk::open);
            match (checked, opened) {
                (Ok(report), Err(why)) => {
                    assert!(!report.is_sound(), "byte {byte}: {why}");
                    refused += 1;
                }
                (Err(_), Err(_)) | (Ok(_), Ok(_)) => {}
                (Err(why), Ok(_)) => panic!("byte {byte}: {why}"),
            }
        }
        assert!(refused > 5, "{refused}");
    }

    #[test]
    fn what_is_no_store_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("foreign");
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        assert!(matches!(check(&path), Err(StoreError::Format(_))));
        assert!(matches!(salvage(&path), Err(StoreError::Format(_))));
        assert_eq!(std::fs::read(&path).unwrap(), vec![7; 10_000]);
    }
}
