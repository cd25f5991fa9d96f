//! The parts of a cluster: what each is, which others of the same process it needs, how it starts and how it stops.
//!
//! Knows: their names and their order. Refuses to know: what happens inside one.

use std::future::Future;
use std::pin::Pin;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::cluster::running::Running;
use crate::cluster::{registry, router, starts};

/// A part of a cluster, by the name that it has on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// API server, with its store and its certificates.
    #[value(skip)]
    Server,
    /// All controllers.
    Controllers,
    /// The scheduler.
    Scheduler,
    /// Nodes of this machine: agent, container runtime and pod network.
    Node,
    /// The cluster's DNS.
    Dns,
    /// The rules by which Services are reached.
    Proxy,
    /// Who serves Routes.
    Router,
    /// The cluster's registry of images.
    Registry,
}

/// What a step of a part comes to.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// How a part is started and stopped.
pub struct Row {
    /// Which part.
    pub part: Part,
    /// What is lacking where nobody does its work.
    pub lacking: &'static str,
    /// The parts of the same process that it cannot be without.
    pub needs: &'static [Part],
    /// Starts it.
    pub start: for<'a> fn(&'a mut Running) -> Step<'a, Result<()>>,
    /// Ends what is left of it once its tasks have ended; tells what failed.
    pub stop: for<'a> fn(&'a mut Running) -> Step<'a, Vec<String>>,
}

/// In the order in which they start; they stop in the opposite one.
pub const PARTS: &[Row] = &[
    Row {
        part: Part::Server,
        lacking: "",
        needs: &[],
        start: |running| Box::pin(starts::server(running)),
        stop: |running| Box::pin(starts::stop_server(running)),
    },
    Row {
        part: Part::Controllers,
        lacking: "nothing makes pods of what is applied",
        needs: &[],
        start: |running| Box::pin(starts::manager(running)),
        stop: nothing,
    },
    Row {
        part: Part::Scheduler,
        lacking: "no pod gets a node",
        needs: &[],
        start: |running| Box::pin(starts::manager(running)),
        stop: nothing,
    },
    Row {
        part: Part::Node,
        lacking: "nothing can run without a node",
        needs: &[],
        start: |running| Box::pin(starts::nodes(running)),
        stop: |running| Box::pin(starts::stop_nodes(running)),
    },
    Row {
        part: Part::Dns,
        lacking: "pods find no Service by its name",
        needs: &[Part::Node],
        start: |running| Box::pin(starts::dns(running)),
        stop: nothing,
    },
    Row {
        part: Part::Proxy,
        lacking: "no Service is reached by its address",
        needs: &[Part::Node],
        start: |running| Box::pin(starts::proxy(running)),
        stop: nothing,
    },
    Row {
        part: Part::Router,
        lacking: "no Route is served",
        needs: &[Part::Node],
        start: |running| Box::pin(router::start(running)),
        stop: nothing,
    },
    Row {
        part: Part::Registry,
        lacking: "no image can be pushed",
        needs: &[Part::Server, Part::Node],
        start: |running| Box::pin(registry::start(running)),
        stop: nothing,
    },
];

/// For parts whose tasks are all that there is of them.
fn nothing(_: &mut Running) -> Step<'_, Vec<String>> {
    Box::pin(async { Vec::new() })
}

impl Part {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Part::Server => "server",
            Part::Controllers => "controllers",
            Part::Scheduler => "scheduler",
            Part::Node => "node",
            Part::Dns => "dns",
            Part::Proxy => "proxy",
            Part::Router => "router",
            Part::Registry => "registry",
        }
    }
}

/// Those of some parts that are not left out and lack none that they need.
///
/// # Errors
/// When one is to be left out that is not among them.
pub fn without(of: &[Part], left_out: &[Part]) -> Result<Vec<Part>> {
    let may: Vec<&str> = of.iter().map(|part| part.name()).collect();
    for part in left_out {
        let name = part.name();
        ensure!(of.contains(part), "--without {name}: it has no such part: {}", may.join(", "));
    }
    let mut kept: Vec<Part> = Vec::new();
    for row in PARTS.iter().filter(|row| of.contains(&row.part) && !left_out.contains(&row.part)) {
        if row.needs.iter().all(|needed| kept.contains(needed)) {
            kept.push(row.part);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_takes_along_what_needs_it() {
        let all: Vec<Part> = PARTS.iter().map(|row| row.part).collect();
        let check = |left_out: &[Part], kept: &str| {
            let parts = without(&all, left_out).unwrap();
            let names: Vec<&str> = parts.into_iter().map(Part::name).collect();
            assert_eq!(names.join(" "), kept);
        };
        check(&[], "server controllers scheduler node dns proxy router registry");
        check(&[Part::Node], "server controllers scheduler");
        check(&[Part::Scheduler, Part::Controllers], "server node dns proxy router registry");
        check(
            &[Part::Router, Part::Router],
            "server controllers scheduler node dns proxy registry",
        );
    }

    /// Red when a row stands before one that it needs, or the command line has another name for a part.
    #[test]
    fn the_table_is_in_order_and_its_names_are_those_of_the_command_line() {
        for (at, row) in PARTS.iter().enumerate() {
            let before = |part: &Part| PARTS[..at].iter().any(|one| one.part == *part);
            assert!(row.needs.iter().all(before), "{:?}", row.part);
            let told = row.part.to_possible_value().map(|value| value.get_name().to_owned());
            let name = Some(row.part.name().to_owned()).filter(|_| row.part != Part::Server);
            assert_eq!(told, name);
        }
        let refused = without(&[Part::Node, Part::Dns], &[Part::Router]).unwrap_err().to_string();
        assert_eq!(refused, "--without router: it has no such part: node, dns");
    }
}
