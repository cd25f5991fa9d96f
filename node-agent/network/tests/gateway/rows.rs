//! A row for each of upstream's conformance tests: objects, what they are told, and what is answered; or why it is not carried
//! out here.

mod absent;
mod filters;
mod gateways;
mod grpc;
mod matching;
mod refs;
mod tls;

use super::writing::Put;
use serde_json::Value;

/// What an object is told.
pub type Told = Vec<(String, String)>;

#[derive(Default)]
pub struct Row {
    pub id: &'static str,
    pub put: Vec<Put>,
    pub told: Told,
    pub asked: Vec<(String, String)>,
    /// Changes, and what is told after each.
    pub then: Vec<(Put, Value, Told)>,
    /// Why it is not carried out.
    pub absent: Option<&'static str>,
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

fn row(id: &'static str, put: Vec<Put>, told: &[(&str, &str)], asked: &[(&str, &str)]) -> Row {
    Row { id, put, told: pairs(told), asked: pairs(asked), ..Row::default() }
}

/// All of them.
pub fn rows() -> Vec<Row> {
    let all = [
        gateways::rows(),
        grpc::rows(),
        matching::rows(),
        filters::rows(),
        refs::rows(),
        tls::rows(),
        absent::rows(),
    ];
    all.into_iter().flatten().collect()
}
