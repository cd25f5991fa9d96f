//! Whether the cache holds what the store holds.
//!
//! Knows: how to compare both at one revision. Refuses to know: how to repair a difference.

use std::collections::BTreeMap;

use super::Cache;
use super::splice::splice_resource_version;
use crate::StoreError;

impl Cache {
    /// Compares every resource with the store at one revision and names each difference. Meant for tests and for an
    /// occasional check; it reads the whole store.
    pub async fn differences(&self) -> Result<Vec<String>, StoreError> {
        self.fresh().await?;
        let mut differences = Vec::new();
        for prefix in self.prefixes() {
            let Ok(resource) = self.known(&prefix) else { continue };
            let snapshot = resource.snapshot();
            let page = self.store().list(&prefix, "", 0, snapshot.revision()).await?;
            let mut cached: BTreeMap<&str, _> = snapshot.iter().map(|o| (&*o.key, o)).collect();
            for entry in &page.entries {
                let shown = resource.reader.shown(&entry.value);
                let shown = shown.as_ref().unwrap_or(&entry.value);
                let Some(bytes) = splice_resource_version(shown, entry.mod_revision) else {
                    continue;
                };
                match cached.remove(&*entry.key) {
                    Some(o) if o.mod_revision == entry.mod_revision && o.json == bytes => {}
                    Some(o) => differences.push(format!(
                        "{}: revision {} in the cache, {} in the store",
                        entry.key, o.mod_revision, entry.mod_revision
                    )),
                    None => differences.push(format!("{}: missing in the cache", entry.key)),
                }
            }
            differences.extend(cached.keys().map(|key| format!("{key}: not in the store")));
        }
        Ok(differences)
    }
}
