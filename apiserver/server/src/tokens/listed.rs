//! The file of tokens that a server is started with: token, user, uid, and groups between quotes.
//!
//! Knows: upstream's `--token-auth-file`. Refuses to know: other tokens.

use std::collections::HashMap;
use std::path::Path;

use leme_access::Identity;
use sha2::{Digest, Sha256};

/// Who has which token, by its digest: how long a look takes tells nothing of a token.
#[derive(Default)]
pub(super) struct Listed(HashMap<[u8; 32], Identity>);

impl Listed {
    /// Of the file, if there is one.
    ///
    /// # Errors
    /// As [`Listed::read`].
    pub fn of(path: Option<&Path>) -> Result<Listed, String> {
        path.map_or_else(|| Ok(Listed::default()), Listed::read)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or a line says too little. No token is told.
    pub fn read(path: &Path) -> Result<Listed, String> {
        let shown = path.display();
        let rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_path(path)
            .map_err(|error| format!("token file {shown}: {error}"))?
            .into_records();
        let mut all = HashMap::new();
        for (at, row) in rows.enumerate() {
            let row = row.map_err(|error| format!("token file {shown}: {error}"))?;
            let Some((token, user, uid)) = three(&row) else {
                return Err(format!(
                    "token file {shown}, line {}: must have at least 3 columns (token, user name, user uid), found {}",
                    at + 1,
                    row.len()
                ));
            };
            if token.is_empty() || user.is_empty() {
                return Err(format!(
                    "token file {shown}, line {}: empty token or user name",
                    at + 1
                ));
            }
            let groups = row.get(3).unwrap_or_default().split(',').map(str::trim);
            let groups = groups.filter(|group| !group.is_empty()).map(str::to_owned);
            let mut who = Identity::of_certificate(user, groups);
            who.uid = uid.to_owned();
            if all.insert(digest(token), who).is_some() {
                return Err(format!(
                    "token file {shown}, line {}: the token stands there twice",
                    at + 1
                ));
            }
        }
        Ok(Listed(all))
    }

    /// Whose token it is.
    pub fn owner(&self, token: &str) -> Option<&Identity> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&digest(token))
    }
}

fn three(row: &csv::StringRecord) -> Option<(&str, &str, &str)> {
    Some((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Listed, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.csv");
        std::fs::write(&path, text).unwrap();
        Listed::read(&path)
    }

    #[test]
    fn each_line_is_a_token() {
        let listed = read("t0,ana,7\nt1, rui ,8,\"dev, ops\"\n").unwrap();
        let ana = listed.owner("t0").unwrap();
        assert_eq!((&*ana.user, &*ana.uid), ("ana", "7"));
        assert_eq!(ana.groups, ["system:authenticated"]);
        assert_eq!(listed.owner("t1").unwrap().groups, ["dev", "ops", "system:authenticated"]);
        assert!(listed.owner("t2").is_none() && listed.owner("").is_none());
    }

    #[test]
    fn what_says_too_little_is_refused_without_the_token() {
        for text in
            ["secret,ana\n", "secret\n", ",ana,1\n", "secret,,1\n", "secret,a,1\nsecret,b,2\n"]
        {
            let why = read(text).err().unwrap();
            assert!(why.contains("line") && !why.contains("secret"), "{why}");
        }
    }
}
