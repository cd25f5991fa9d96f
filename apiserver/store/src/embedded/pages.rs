//! The pages of a database file, read without trusting any of them and without opening the database.
//!
//! Knows: where redb (file format 3) puts the pages of a tree and what lies in one. Refuses to know: how to write one,
//! and checksums of pages: what is read here is believed only for its own checksum.
//!
//! A page number holds its index (20 bits), its region (20 bits) and its order (the highest 5 bits); a page has 4096 bytes
//! times two to the order. Page 0 of the file holds which of two commits is the newest, and where the tree of tables is.
//! A leaf: type 1 (2 bytes), pairs (2), ends of the keys (4 each, unless all are of one width), ends of the values (the
//! same), keys, values. A branch: type 2 (2), keys (2), 4 bytes, checksums of the children (16 each), pages of the
//! children (8 each), ends of the keys, keys; a key is the greatest of the child before it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::{Range, RangeInclusive};
use std::os::unix::fs::FileExt;

use super::disk::REVISION;

/// What a file starts with.
const FILE_MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
const PAGE: u64 = 4096;
const REGION: u64 = PAGE << 20;
const SLOT_AT: usize = 64;
const SLOT: usize = 128;
/// In a slot: whether there is a tree of tables, its root, the same of the database's own tables, and the number of the
/// commit.
const HAS_TABLES: usize = 1;
const HAS_OWN: usize = 2;
const TABLES: usize = 8;
const OWN: usize = 40;
const COMMIT: usize = 104;
/// Flags of the byte after the magic.
const NEWEST: u8 = 1;
const NOT_CLOSED: u8 = 2;
/// What a table is that has one tree.
const PLAIN: u8 = 3;
const LEAF: u8 = 1;
const BRANCH: u8 = 2;
/// No tree is deeper: a branch has room for more than a hundred children.
const DEEPEST: usize = 16;
/// No page is larger than a few of the largest objects.
const LARGEST_ORDER: u64 = 14;

/// A file that may be damaged.
pub(super) struct Pages<'f> {
    file: &'f File,
    len: u64,
}

/// A part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) len: usize,
}

/// Revisions that no page can be found for.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) revisions: RangeInclusive<u64>,
    /// The page that should have held them, or that named the page.
    pub(super) page: Option<Place>,
}

/// What one commit's trees hold.
#[derive(Default)]
pub(super) struct Walk {
    /// The small numbers of the database, if their table can be read.
    pub(super) meta: Option<BTreeMap<String, u64>>,
    /// What must have been in the tree of records and was not found there.
    pub(super) lost: Vec<Lost>,
}

impl<'f> Pages<'f> {
    pub(super) fn new(file: &'f File) -> std::io::Result<Self> {
        Ok(Self { file, len: file.metadata()?.len() })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes of a place, as far as the file goes.
    pub(super) fn bytes(&self, place: Place) -> Option<Vec<u8>> {
        let len = u64::try_from(place.len).ok()?.min(self.len.checked_sub(place.offset)?);
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.file.read_exact_at(&mut bytes, place.offset).ok()?;
        Some(bytes)
    }

    /// What the file says of itself, if it is one of the kind.
    fn flags(&self) -> Option<u8> {
        let head = self.bytes(Place { offset: 0, len: SLOT_AT })?;
        (head.get(..FILE_MAGIC.len())? == FILE_MAGIC).then(|| head[FILE_MAGIC.len()])
    }

    /// Whether the file is one of the kind.
    pub(super) fn is_database(&self) -> bool {
        self.flags().is_some()
    }

    /// Which of the two commits is the newest, if the file is one of the kind and whoever wrote it last also closed it.
    pub(super) fn newest_if_closed(&self) -> Option<usize> {
        self.flags().filter(|flags| flags & NOT_CLOSED == 0)?;
        let number = |slot| long(&self.slot(slot)?, COMMIT);
        Some(usize::from(number(1)? > number(0)?))
    }

    /// What lies between the pages of a closed file: nothing that its newest commit can reach. `None` if that cannot be
    /// told for certain.
    pub(super) fn gaps(&self) -> Option<Vec<Range<u64>>> {
        let newest = self.newest_if_closed()?;
        if usize::from(self.flags()? & NEWEST) != newest {
            return None;
        }
        let slot = self.slot(newest)?;
        let mut used = BTreeMap::from([(0, PAGE)]);
        for (there, root) in [(HAS_TABLES, TABLES), (HAS_OWN, OWN)] {
            if *slot.get(there)? != 0 {
                self.reach(long(&slot, root)?, true, &mut used, 0)?;
            }
        }
        let mut gaps = Vec::new();
        let mut free = 0;
        for (offset, len) in used.into_iter().chain([(self.len, 0)]) {
            // Pages never overlap.
            if offset < free {
                return None;
            }
            if offset > free {
                gaps.push(free..offset);
            }
            free = offset + len;
        }
        Some(gaps)
    }

    /// Adds a page and all below it to what is used; in a tree of tables the trees of these as well.
    fn reach(
        &self,
        number: u64,
        tables: bool,
        used: &mut BTreeMap<u64, u64>,
        depth: usize,
    ) -> Option<()> {
        let place = place_of(number)?;
        let end = place.offset + place.len as u64;
        let twice = used.insert(place.offset, place.len as u64).is_some();
        if twice || depth > DEEPEST || end > self.len {
            return None;
        }
        let whole = || self.bytes(place).filter(|page| page.len() == place.len);
        match *self.bytes(Place { len: 1, ..place })?.first()? {
            BRANCH => {
                let page = whole()?;
                children(&page)?
                    .into_iter()
                    .try_for_each(|n| self.reach(n, tables, used, depth + 1))
            }
            LEAF if tables => {
                let page = whole()?;
                pairs(&page, None, None)?.into_iter().try_for_each(|(_, value)| {
                    let table = page.get(value)?;
                    match (*table.first()?, *table.get(9)?) {
                        (PLAIN, 0) => Some(()),
                        (PLAIN, _) => self.reach(long(table, 10)?, false, used, 0),
                        _ => None,
                    }
                })
            }
            LEAF => Some(()),
            _ => None,
        }
    }

    fn slot(&self, slot: usize) -> Option<Vec<u8>> {
        self.bytes(Place { offset: (SLOT_AT + slot * SLOT) as u64, len: SLOT })
    }

    /// Calls `each` with every record in the trees of commit `slot`: its revision, its bytes, where they lie.
    pub(super) fn walk(&self, slot: usize, each: &mut dyn FnMut(u64, &[u8], Place)) -> Walk {
        let everything = || vec![Lost { revisions: 0..=u64::MAX, page: None }];
        let Some(tables) = self.tables(slot) else {
            return Walk { meta: None, lost: everything() };
        };
        // A database that has just been made has no tables.
        if tables.is_empty() {
            return Walk::default();
        }
        let meta = tables.get("meta").and_then(|root| self.meta((*root)?));
        // A key beyond the newest revision is none: a damaged page is read with its keys in the wrong places.
        let newest = meta.as_ref().and_then(|meta| meta.get(REVISION)).copied().unwrap_or(u64::MAX);
        let mut lost = Vec::new();
        match tables.get("data") {
            Some(None) => {}
            Some(Some(root)) => {
                let mut walker = Walker { pages: self, seen: BTreeSet::new(), lost, each };
                walker.visit(*root, 0..=newest, None, 0);
                lost = walker.lost;
            }
            None => lost = everything(),
        }
        Walk { meta, lost }
    }

    /// The roots of the tables by their names; none where the table is empty.
    fn tables(&self, slot: usize) -> Option<BTreeMap<String, Option<u64>>> {
        let slot = self.slot(slot)?;
        if *slot.get(HAS_TABLES)? == 0 {
            return Some(BTreeMap::new());
        }
        let (_, page) = self.page(long(&slot, TABLES)?)?;
        let mut tables = BTreeMap::new();
        for (key, value) in pairs(&page, None, None)? {
            let name = std::str::from_utf8(&page[key]).ok()?;
            // Kind of table (1 byte), how many pairs (8), whether there is a root (1), the root (8).
            let definition = page.get(value)?;
            let root = if *definition.get(9)? == 0 { None } else { Some(long(definition, 10)?) };
            tables.insert(name.to_owned(), root);
        }
        Some(tables)
    }

    fn meta(&self, root: u64) -> Option<BTreeMap<String, u64>> {
        let (_, page) = self.page(root)?;
        let mut meta = BTreeMap::new();
        for (key, value) in pairs(&page, None, Some(8))? {
            meta.insert(
                std::str::from_utf8(&page[key]).ok()?.to_owned(),
                long(&page, value.start)?,
            );
        }
        Some(meta)
    }

    /// A page by its number, if the file has it.
    fn page(&self, number: u64) -> Option<(Place, Vec<u8>)> {
        let place = place_of(number)?;
        self.bytes(place).filter(|bytes| bytes.len() == place.len).map(|bytes| (place, bytes))
    }
}

struct Walker<'w, 'f> {
    pages: &'w Pages<'f>,
    seen: BTreeSet<u64>,
    lost: Vec<Lost>,
    each: &'w mut dyn FnMut(u64, &[u8], Place),
}

impl Walker<'_, '_> {
    /// Visits a page whose revisions must lie in `within`. `parent`: the page that named it.
    fn visit(
        &mut self,
        number: u64,
        within: RangeInclusive<u64>,
        parent: Option<Place>,
        depth: usize,
    ) {
        let found = (self.seen.insert(number) && depth < DEEPEST)
            .then(|| self.pages.page(number))
            .flatten();
        let Some((place, page)) = found else {
            self.lost.push(Lost { revisions: within, page: parent });
            return;
        };
        let read = match page[0] {
            LEAF => self.leaf(place, &page, &within),
            BRANCH => self.branch(place, &page, &within, depth),
            _ => None,
        };
        if read.is_none() {
            self.lost.push(Lost { revisions: within, page: Some(place) });
        }
    }

    fn leaf(&mut self, place: Place, page: &[u8], within: &RangeInclusive<u64>) -> Option<()> {
        let pairs = pairs(page, Some(8), None)?;
        let revisions: Option<Vec<u64>> =
            pairs.iter().map(|(key, _)| long(page, key.start)).collect();
        let revisions = revisions.filter(|all| ascend(all, within))?;
        for (revision, (_, value)) in revisions.into_iter().zip(pairs) {
            let offset = place.offset + value.start as u64;
            (self.each)(revision, &page[value.clone()], Place { offset, len: value.len() });
        }
        Some(())
    }

    fn branch(
        &mut self,
        place: Place,
        page: &[u8],
        within: &RangeInclusive<u64>,
        depth: usize,
    ) -> Option<()> {
        let children = children(page)?;
        let count = children.len() - 1;
        let keys_at = 8 + 24 * children.len();
        let keys: Option<Vec<u64>> = (0..count).map(|n| long(page, keys_at + 8 * n)).collect();
        let keys = keys?;
        if !ascend(&keys, within) {
            return None;
        }
        let mut from = *within.start();
        for (n, child) in children.into_iter().enumerate() {
            let until = keys.get(n).copied().unwrap_or(*within.end());
            self.visit(child, from..=until, Some(place), depth + 1);
            from = until.saturating_add(1);
        }
        Some(())
    }
}

/// Where a page lies by its number.
fn place_of(number: u64) -> Option<Place> {
    let order = number >> 59;
    if order > LARGEST_ORDER {
        return None;
    }
    let (index, region) = (number & (0xf_ffff >> order), number >> 20 & 0xf_ffff);
    let len = PAGE << order;
    let offset = PAGE + region * REGION + index * len;
    Some(Place { offset, len: usize::try_from(len).ok()? })
}

/// The pages below a branch; more than one.
fn children(page: &[u8]) -> Option<Vec<u64>> {
    let count = usize::from(u16::from_le_bytes(page.get(2..4)?.try_into().ok()?));
    let numbers_at = 8 + 16 * (count + 1);
    let numbers = (0..=count).map(|n| long(page, numbers_at + 8 * n));
    if count == 0 { None } else { numbers.collect() }
}

/// Whether numbers ascend and lie in a range.
fn ascend(numbers: &[u64], within: &RangeInclusive<u64>) -> bool {
    numbers.is_sorted_by(|a, b| a < b) && numbers.iter().all(|n| within.contains(n))
}

/// Where the keys and values of a leaf lie, if its own table of them makes sense.
fn pairs(
    page: &[u8],
    key_width: Option<usize>,
    value_width: Option<usize>,
) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    if *page.first()? != LEAF {
        return None;
    }
    let count = usize::from(u16::from_le_bytes(page.get(2..4)?.try_into().ok()?));
    let mut at = 4;
    let mut ends = |width: Option<usize>| match width {
        Some(width) => Some(Ends::Width(width)),
        None => {
            let table = page.get(at..at + 4 * count)?;
            at += 4 * count;
            Some(Ends::Table(table))
        }
    };
    let (key_ends, value_ends) = (ends(key_width)?, ends(value_width)?);
    let mut next = at;
    let keys = (0..count).map(|n| key_ends.cut(n, &mut next, page.len()));
    let keys: Vec<Range<usize>> = keys.collect::<Option<_>>()?;
    let values = (0..count).map(|n| value_ends.cut(n, &mut next, page.len()));
    let values: Vec<Range<usize>> = values.collect::<Option<_>>()?;
    (count > 0).then(|| keys.into_iter().zip(values).collect())
}

/// Where the parts of a section end.
enum Ends<'p> {
    Width(usize),
    Table(&'p [u8]),
}

impl Ends<'_> {
    /// The `n`th part, which starts at `next`.
    fn cut(&self, n: usize, next: &mut usize, most: usize) -> Option<Range<usize>> {
        let start = *next;
        let end = match self {
            Ends::Width(width) => start.checked_add(*width)?,
            Ends::Table(ends) => {
                u32::from_le_bytes(ends.get(4 * n..4 * n + 4)?.try_into().ok()?) as usize
            }
        };
        *next = end;
        (start <= end && end <= most).then_some(start..end)
    }
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
