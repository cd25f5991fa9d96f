//! Ranges of the machine's user and group ids, one for each pod that has a user namespace of its own.
//!
//! Knows: which ids are there to be given, by `/etc/subuid` and `/etc/subgid` as the kubelet reads them. Refuses to know: who
//! has which.

use std::collections::BTreeSet;
use std::fs;
use std::io;

/// As many ids has a pod.
pub const LENGTH: u32 = 1 << 16;
/// Whose line in the files says what is there to be given.
const USER: &str = "kubelet";

/// Ids of the machine that are given to pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    first: u32,
    length: u32,
}

/// All ids but the first range, which is the machine's own users'.
const ALL: Pool = Pool { first: LENGTH, length: u32::MAX - LENGTH + 1 };

impl Pool {
    /// What the machine's files say, or all that there is where they say nothing.
    ///
    /// # Errors
    /// When what they say cannot be given to pods.
    pub fn of_machine() -> io::Result<Pool> {
        let read = |path: &str| match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            read => read,
        };
        let (users, groups) = (read("/etc/subuid")?, read("/etc/subgid")?);
        Pool::parse(&users, &groups).map_err(io::Error::other)
    }

    fn parse(users: &str, groups: &str) -> Result<Pool, String> {
        let (users, groups) = (line(users)?, line(groups)?);
        if users != groups {
            return Err(format!(
                "user {USER:?} has other subordinate user ids than group ids: {users:?} and {groups:?}"
            ));
        }
        let Some((first, length)) = users else { return Ok(ALL) };
        let whole = |number: u32| number.is_multiple_of(LENGTH);
        if !whole(first) || !whole(length) || first < LENGTH || first.checked_add(length).is_none()
        {
            return Err(format!(
                "subordinate ids of user {USER:?} ({first}, {length} of them) are no ranges of {LENGTH} from {LENGTH} on"
            ));
        }
        Ok(Pool { first, length })
    }

    /// The first id of a range that nobody has.
    pub fn free(&self, taken: &BTreeSet<u32>) -> Option<u32> {
        let ranges = (0..self.length / LENGTH).map(|index| self.first + index * LENGTH);
        ranges.into_iter().find(|first| !taken.contains(first))
    }
}

/// (first id, how many) of the user's line; more than one is refused as the kubelet does.
fn line(text: &str) -> Result<Option<(u32, u32)>, String> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(USER)?.strip_prefix(':'));
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err(format!("user {USER:?} has more than one range of subordinate ids"));
    }
    let numbers = line.trim().split_once(':');
    let parsed =
        numbers.and_then(|(first, length)| Some((first.parse().ok()?, length.parse().ok()?)));
    parsed
        .map(Some)
        .ok_or_else(|| format!("subordinate ids of user {USER:?}: {line:?} is no range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_the_kubelets_range_or_from_all_but_the_first() {
        assert_eq!(Pool::parse("", "jo:100000:65536\n"), Ok(ALL));
        let text = "jo:1:2\nkubelet:131072:131072\n";
        let pool = Pool::parse(text, text).unwrap();
        assert_eq!(pool, Pool { first: 131_072, length: 131_072 });
        for (users, groups) in [
            ("kubelet:131072:65536", ""),
            ("kubelet:100000:65536", "kubelet:100000:65536"),
            ("kubelet:0:65536", "kubelet:0:65536"),
            ("kubelet:131072:1000", "kubelet:131072:1000"),
            ("kubelet:x:65536", "kubelet:x:65536"),
            ("kubelet:65536:65536\nkubelet:131072:65536", "kubelet:65536:65536"),
        ] {
            assert!(Pool::parse(users, groups).is_err(), "{users} {groups}");
        }
    }

    #[test]
    fn a_range_is_given_once() {
        let pool = Pool { first: LENGTH, length: 2 * LENGTH };
        let mut taken = BTreeSet::new();
        for want in [Some(LENGTH), Some(2 * LENGTH), None] {
            let got = pool.free(&taken);
            assert_eq!(got, want);
            taken.extend(got);
        }
        taken.remove(&LENGTH);
        assert_eq!(pool.free(&taken), Some(LENGTH));
        assert_eq!(ALL.length / LENGTH, 65_535);
    }
}
