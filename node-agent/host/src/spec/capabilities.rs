//! Which capabilities a container gets.
//!
//! Knows: capability names, the default set, what this machine can give. Refuses to know: the rest of the spec.

use std::collections::HashSet;
use std::fs;

use oci_spec::runtime::{Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};

use super::{SecurityInput, SpecError};
use crate::cgroup::{self, Layout};

const DEFAULT: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// All names, at the index of the capability's number.
const NUMBERED: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The capability sets. A user other than root keeps them in the bounding set only, as everywhere.
pub(crate) fn set(security: &SecurityInput, root: bool) -> Result<LinuxCapabilities, SpecError> {
    let names = choose(security, cgroup::layout() == Layout::Unified)?;
    let held = permitted();
    let names: HashSet<Capability> =
        names.intersection(&held).filter_map(|name| name.parse().ok()).collect();
    let active = if root { names.clone() } else { HashSet::new() };
    let mut sets = LinuxCapabilitiesBuilder::default()
        .bounding(names)
        .effective(active.clone())
        .permitted(active)
        .build()?;
    sets.set_inheritable(None).set_ambient(None);
    Ok(sets)
}

/// The wanted names. Version 2 cgroups have no device list here, so `MKNOD` is not a default there: a
/// device node would open the host's disks.
fn choose(security: &SecurityInput, unified: bool) -> Result<HashSet<String>, SpecError> {
    let known = |name: &String| -> Result<String, SpecError> {
        let upper = name.to_ascii_uppercase();
        let plain = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
        if plain == "ALL" || NUMBERED.contains(&plain.as_str()) {
            Ok(plain)
        } else {
            Err(SpecError::Invalid(format!("unknown capability {name:?}")))
        }
    };
    let added = security.add_capabilities.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    let dropped = security.drop_capabilities.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    let all = || NUMBERED.iter().map(|name| (*name).to_owned());
    let mut chosen: HashSet<String> =
        if security.privileged || added.iter().any(|name| name == "ALL") {
            all().collect()
        } else if dropped.iter().any(|name| name == "ALL") {
            HashSet::new()
        } else {
            DEFAULT
                .iter()
                .filter(|name| !(unified && **name == "MKNOD"))
                .map(|name| (*name).to_owned())
                .collect()
        };
    if !security.privileged {
        for name in &dropped {
            chosen.remove(name);
        }
        chosen.extend(added.into_iter().filter(|name| name != "ALL"));
    }
    Ok(chosen.into_iter().collect())
}

/// What this process may hand on.
fn permitted() -> HashSet<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = |field: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
            .unwrap_or(0)
    };
    let mask = mask("CapPrm:") & mask("CapBnd:");
    let held = NUMBERED.iter().enumerate().filter(|(number, _)| mask & (1 << number) != 0);
    held.map(|(_, name)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(add: &[&str], drop: &[&str], privileged: bool, has: &[&str], lacks: &[&str]) {
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let security = SecurityInput {
            privileged,
            add_capabilities: list(add),
            drop_capabilities: list(drop),
            ..Default::default()
        };
        let chosen = choose(&security, false).unwrap();
        for name in has {
            assert!(chosen.contains(*name), "{add:?} {drop:?} lacks {name}");
        }
        for name in lacks {
            assert!(!chosen.contains(*name), "{add:?} {drop:?} has {name}");
        }
    }

    #[test]
    fn every_name_is_known_to_the_spec() {
        for name in NUMBERED {
            assert!(name.parse::<Capability>().is_ok(), "{name}");
        }
    }

    #[test]
    fn adds_and_drops() {
        check(&[], &[], false, &["CHOWN", "KILL"], &["SYS_ADMIN"]);
        check(&[], &["ALL"], false, &[], &["CHOWN"]);
        check(&["NET_BIND_SERVICE"], &["ALL"], false, &["NET_BIND_SERVICE"], &["CHOWN"]);
        check(&["cap_net_admin"], &["chown"], false, &["NET_ADMIN"], &["CHOWN"]);
        check(&["ALL"], &["SYS_ADMIN"], false, &["BPF"], &["SYS_ADMIN"]);
        check(&[], &["ALL"], true, &["SYS_ADMIN"], &[]);
    }
}
