//! Who holds which pod address. Knows ids, addresses and one small file; refuses to know links and namespaces, except as the
//! list of what is live when the book is opened.
//!
//! Invariant: an address belongs to at most one id, on disk before it is handed out. The file is replaced by rename and not
//! synced: it only has to outlive the process, since no pod outlives a boot, and the boot is written in it.

use super::ports::{HostPort, Mapped};
use crate::{Cidr, mask};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// What is written to disk.
#[derive(Serialize, Deserialize)]
struct Book {
    version: u32,
    boot: String,
    cidr: String,
    last: Ipv4Addr,
    leases: BTreeMap<String, Ipv4Addr>,
    /// The host ports of those that have some.
    #[serde(default)]
    ports: BTreeMap<String, Vec<HostPort>>,
}

const VERSION: u32 = 1;

/// The addresses of one node's pods.
pub(super) struct Ipam {
    path: PathBuf,
    boot: String,
    cidr: Cidr,
    last: Ipv4Addr,
    leases: BTreeMap<String, Ipv4Addr>,
    used: BTreeSet<Ipv4Addr>,
    ports: BTreeMap<String, Vec<HostPort>>,
    /// Those on their way out, whose ports lead nowhere any more.
    closing: BTreeSet<String>,
}

impl Ipam {
    /// Opens the book at `path`. `live` is what pods hold at this moment, by id; it wins over the file. An unreadable file
    /// is set aside and the book is rebuilt from `live`.
    pub(super) fn open(
        path: &Path,
        cidr: Cidr,
        boot: &str,
        live: &BTreeMap<String, Ipv4Addr>,
    ) -> Result<Ipam> {
        ensure!(cidr.1 <= 29, "pod CIDR {}/{} is too small: use /29 or larger", cidr.0, cidr.1);
        let mut ipam = Ipam {
            path: path.to_owned(),
            boot: boot.to_owned(),
            cidr,
            last: gateway(cidr),
            leases: BTreeMap::new(),
            used: BTreeSet::new(),
            ports: BTreeMap::new(),
            closing: BTreeSet::new(),
        };
        ipam.adopt(live)?;
        match read(path, cidr) {
            Ok(Some(book)) if book.boot == boot => ipam.merge(book),
            Ok(_) => {}
            Err(error) => {
                let aside = path.with_extension("json.corrupt");
                tracing::warn!(
                    file = %path.display(), kept = %aside.display(), live = live.len(), "{error:#}; \
                     the address book is rebuilt from the live pods"
                );
                std::fs::rename(path, &aside)
                    .with_context(|| format!("set {} aside", path.display()))?;
            }
        }
        ipam.save()?;
        Ok(ipam)
    }

    fn adopt(&mut self, live: &BTreeMap<String, Ipv4Addr>) -> Result<()> {
        for (id, &ip) in live {
            ensure!(
                assignable(self.cidr, ip),
                "pod {id} holds {ip}, outside the pod CIDR {}: stop the cluster with the CIDR it was started with first",
                text(self.cidr)
            );
            ensure!(self.used.insert(ip), "two live pods hold {ip}; detach pod {id}");
            self.leases.insert(id.clone(), ip);
        }
        Ok(())
    }

    /// Takes over from the file what does not contradict the live pods.
    fn merge(&mut self, book: Book) {
        self.last = if assignable(self.cidr, book.last) { book.last } else { self.last };
        for (id, ip) in book.leases {
            if !self.leases.contains_key(&id) && self.used.insert(ip) {
                self.leases.insert(id, ip);
            }
        }
        self.ports = book.ports;
        self.ports.retain(|id, _| self.leases.contains_key(id));
    }

    /// The address of `id`; a new one, with these host ports, if it has none. The second value says whether it is new.
    pub(super) fn allocate(&mut self, id: &str, ports: &[HostPort]) -> Result<(Ipv4Addr, bool)> {
        if let Some(&ip) = self.leases.get(id) {
            return Ok((ip, false));
        }
        for (other, held) in &self.ports {
            if let Some(port) = ports.iter().find(|port| held.iter().any(|h| h.clashes(port))) {
                bail!("host port {port} is taken by pod {other}");
            }
        }
        let ip = self.next_free().with_context(|| {
            format!("no free pod address in {}: {} in use", text(self.cidr), self.used.len())
        })?;
        let last = std::mem::replace(&mut self.last, ip);
        self.leases.insert(id.to_owned(), ip);
        self.used.insert(ip);
        if !ports.is_empty() {
            self.ports.insert(id.to_owned(), ports.to_vec());
        }
        if let Err(error) = self.save() {
            self.leases.remove(id);
            self.used.remove(&ip);
            self.ports.remove(id);
            self.last = last;
            return Err(error);
        }
        Ok((ip, true))
    }

    /// The first free address after the last one given, so that an address rests before it is used again.
    fn next_free(&self) -> Option<Ipv4Addr> {
        let (first, end) = range(self.cidr);
        let start = u32::from(self.last) + 1;
        (start..end)
            .chain(first..start.min(end))
            .map(Ipv4Addr::from)
            .find(|ip| !self.used.contains(ip))
    }

    /// Gives the address of `id` back; an unknown id is fine.
    pub(super) fn release(&mut self, id: &str) -> Result<()> {
        let Some(ip) = self.leases.remove(id) else { return Ok(()) };
        self.used.remove(&ip);
        let ports = self.ports.remove(id);
        if let Err(error) = self.save() {
            self.leases.insert(id.to_owned(), ip);
            self.used.insert(ip);
            self.ports.extend(ports.map(|ports| (id.to_owned(), ports)));
            return Err(error);
        }
        self.closing.remove(id);
        Ok(())
    }

    /// The host ports of `id`.
    pub(super) fn ports(&self, id: &str) -> &[HostPort] {
        self.ports.get(id).map_or(&[], Vec::as_slice)
    }

    /// Leaves the host ports of `id` out of [`Ipam::mapped`] from now on, though nobody else gets them before it is released.
    pub(super) fn close(&mut self, id: &str) {
        self.closing.insert(id.to_owned());
    }

    /// The host ports that lead somewhere, by pod address.
    pub(super) fn mapped(&self) -> Mapped {
        let open = self.ports.iter().filter(|(id, _)| !self.closing.contains(*id));
        open.filter_map(|(id, ports)| Some((self.get(id)?, ports.clone()))).collect()
    }

    /// Every address that is held.
    pub(super) fn addresses(&self) -> &BTreeSet<Ipv4Addr> {
        &self.used
    }

    /// The address of `id`.
    pub(super) fn get(&self, id: &str) -> Option<Ipv4Addr> {
        self.leases.get(id).copied()
    }

    /// Every id with an address.
    pub(super) fn ids(&self) -> Vec<String> {
        self.leases.keys().cloned().collect()
    }

    fn save(&self) -> Result<()> {
        let book = Book {
            version: VERSION,
            boot: self.boot.clone(),
            cidr: text(self.cidr),
            last: self.last,
            leases: self.leases.clone(),
            ports: self.ports.clone(),
        };
        let next = self.path.with_extension("json.next");
        std::fs::write(&next, serde_json::to_vec(&book)?)
            .and_then(|()| std::fs::rename(&next, &self.path))
            .with_context(|| format!("write the pod address book {}", self.path.display()))
    }
}

/// Reads and checks the file; `None` when there is none or when it speaks of another CIDR.
fn read(path: &Path, cidr: Cidr) -> Result<Option<Book>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("read the pod address book"),
    };
    let book: Book = serde_json::from_slice(&bytes).context("the pod address book is damaged")?;
    ensure!(book.version == VERSION, "the pod address book has version {}", book.version);
    if book.cidr != text(cidr) {
        return Ok(None);
    }
    let mut seen = BTreeSet::new();
    for (id, &ip) in &book.leases {
        if !assignable(cidr, ip) || !seen.insert(ip) {
            bail!("the pod address book is damaged: {id} holds {ip}");
        }
    }
    Ok(Some(book))
}

/// The first address of the network: the node's own.
pub(super) fn gateway(cidr: Cidr) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(cidr.0) & mask(cidr.1)).wrapping_add(1))
}

/// First pod address and the end (the broadcast address).
fn range(cidr: Cidr) -> (u32, u32) {
    let network = u32::from(cidr.0) & mask(cidr.1);
    (network + 2, network | !mask(cidr.1))
}

fn assignable(cidr: Cidr, ip: Ipv4Addr) -> bool {
    let (first, end) = range(cidr);
    (first..end).contains(&u32::from(ip))
}

fn text(cidr: Cidr) -> String {
    format!("{}/{}", cidr.0, cidr.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIDR: Cidr = (Ipv4Addr::new(10, 9, 0, 0), 29);

    fn open(dir: &Path, live: &[(&str, [u8; 4])]) -> Result<Ipam> {
        let live = live.iter().map(|(id, ip)| (id.to_string(), Ipv4Addr::from(*ip))).collect();
        Ipam::open(&dir.join("ipam.json"), CIDR, "boot", &live)
    }

    #[test]
    fn survives_a_crash_and_rotates() {
        let dir = tempfile::tempdir().unwrap();
        let mut ipam = open(dir.path(), &[]).unwrap();
        assert_eq!(ipam.allocate("a", &[]).unwrap(), (Ipv4Addr::new(10, 9, 0, 2), true));
        assert_eq!(ipam.allocate("b", &[]).unwrap().0, Ipv4Addr::new(10, 9, 0, 3));
        ipam.release("a").unwrap();
        let mut again = open(dir.path(), &[]).unwrap();
        assert_eq!(again.allocate("b", &[]).unwrap(), (Ipv4Addr::new(10, 9, 0, 3), false));
        // The freed address is not the next one.
        assert_eq!(again.allocate("c", &[]).unwrap().0, Ipv4Addr::new(10, 9, 0, 4));
        for id in ["d", "e", "f"] {
            again.allocate(id, &[]).unwrap();
        }
        let full = again.allocate("g", &[]).unwrap_err().to_string();
        assert!(full.contains("no free pod address in 10.9.0.0/29"), "{full}");
        again.release("e").unwrap();
        assert!(again.allocate("g", &[]).is_ok());
    }

    #[test]
    fn host_ports_have_one_owner_and_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let port = |address: &str, port| HostPort::new(address, "TCP", port, 80).unwrap();
        let mut ipam = open(dir.path(), &[]).unwrap();
        let (ip, _) = ipam.allocate("a", &[port("", 8080)]).unwrap();
        let taken = ipam.allocate("b", &[port("192.0.2.1", 8080)]).unwrap_err().to_string();
        assert!(taken.contains("host port 192.0.2.1:8080/tcp is taken by pod a"), "{taken}");
        assert_eq!(ipam.get("b"), None);
        let mut again = open(dir.path(), &[("a", ip.octets())]).unwrap();
        assert_eq!(again.mapped(), BTreeMap::from([(ip, vec![port("", 8080)])]));
        again.close("a");
        assert!(again.mapped().is_empty() && again.allocate("b", &[port("", 8080)]).is_err());
        again.release("a").unwrap();
        assert!(again.allocate("b", &[port("", 8080)]).is_ok());
        again.release("b").unwrap();
        assert!(open(dir.path(), &[]).unwrap().mapped().is_empty());
    }

    #[test]
    fn damaged_file_is_rebuilt_from_live_pods() {
        let twice = r#"{"version":1,"boot":"boot","cidr":"10.9.0.0/29","last":"10.9.0.2","leases":{"x":"10.9.0.3","y":"10.9.0.3"}}"#;
        for bytes in [&b""[..], b"{", b"\0\0\0\0", b"[]", twice.as_bytes()] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("ipam.json"), bytes).unwrap();
            let mut ipam = open(dir.path(), &[("p", [10, 9, 0, 2])]).unwrap();
            assert_eq!(ipam.get("p"), Some(Ipv4Addr::new(10, 9, 0, 2)));
            assert_eq!(ipam.allocate("q", &[]).unwrap().0, Ipv4Addr::new(10, 9, 0, 3));
            assert!(dir.path().join("ipam.json.corrupt").exists());
        }
    }

    #[test]
    fn live_pods_win_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), &[]).unwrap().allocate("old", &[]).unwrap();
        let ipam = open(dir.path(), &[("new", [10, 9, 0, 2])]).unwrap();
        assert_eq!((ipam.get("new"), ipam.get("old")), (Some(Ipv4Addr::new(10, 9, 0, 2)), None));
        let outside = open(dir.path(), &[("far", [10, 8, 0, 2])]).err().unwrap().to_string();
        assert!(outside.contains("outside the pod CIDR"), "{outside}");
    }

    #[test]
    fn another_boot_starts_empty() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), &[]).unwrap().allocate("a", &[]).unwrap();
        let path = dir.path().join("ipam.json");
        let ipam = Ipam::open(&path, CIDR, "next boot", &BTreeMap::new()).unwrap();
        assert_eq!(ipam.get("a"), None);
    }

    #[test]
    fn a_failed_write_hands_nothing_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut ipam = open(dir.path(), &[]).unwrap();
        std::fs::create_dir(dir.path().join("ipam.json.next")).unwrap();
        assert!(ipam.allocate("a", &[]).is_err());
        assert_eq!(ipam.get("a"), None);
        std::fs::remove_dir(dir.path().join("ipam.json.next")).unwrap();
        assert_eq!(ipam.allocate("a", &[]).unwrap().0, Ipv4Addr::new(10, 9, 0, 2));
    }
}
