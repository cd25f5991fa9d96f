//! Which representation a client wants of an answer: the first one in its `Accept` header that is served.
//!
//! Knows: media types, their parameters and weights. Refuses to know: how a representation is made.
//!
//! JSON lies in the cache as bytes and every other encoding costs a decode, so protobuf is chosen only by those who
//! take nothing else.

use http::HeaderMap;
use leme_meta::Status;
use leme_meta::quote;

/// How much of each object a Table row carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    /// JSON that people read.
    Pretty,
    Yaml,
    Protobuf,
}

impl Encoding {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Encoding::Json | Encoding::Pretty => "application/json",
            Encoding::Yaml => "application/yaml",
            Encoding::Protobuf => crate::protobuf::MEDIA_TYPE,
        }
    }
}

/// What is shown of objects. The text is the `apiVersion` of the document that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The objects themselves, from the cache's bytes.
    Plain,
    /// A Table.
    Table(&'static str),
    /// PartialObjectMetadata, or its list.
    Metadata(&'static str),
}

/// What is shown, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Representation {
    pub encoding: Encoding,
    pub shape: Shape,
}

/// What the answer to a request consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Object,
    List,
    Watch,
}

/// What can be had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    pub form: Form,
    /// The kind of the objects.
    pub kind: &'a str,
    /// Whether the kind has a protobuf encoding.
    pub protobuf: bool,
    /// Whether there are objects to make rows of.
    pub table: bool,
}

/// One entry of an `Accept` header.
pub(crate) struct Accepted<'a> {
    /// The media type.
    pub media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Accepted<'a> {
    /// The entries by weight, then in the client's order; an absent header accepts JSON.
    pub fn all(headers: &'a HeaderMap) -> Vec<Accepted<'a>> {
        let values =
            headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut entries: Vec<Accepted<'a>> = values
            .flat_map(|value| value.split(','))
            .filter(|entry| !entry.trim().is_empty())
            .map(|entry| {
                let mut parts = entry.split(';').map(str::trim);
                let media = parts.next().unwrap_or("");
                Accepted {
                    media,
                    parameters: parts.filter_map(|part| part.split_once('=')).collect(),
                }
            })
            .collect();
        entries.sort_by(|one, other| other.weight().total_cmp(&one.weight()));
        if entries.is_empty() {
            vec![Accepted { media: "*/*", parameters: Vec::new() }]
        } else {
            entries
        }
    }

    fn weight(&self) -> f32 {
        match self.parameter("q") {
            "" => 1.0,
            text => text.parse().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(1.0),
        }
    }

    /// A parameter of the entry, or `""`.
    pub fn parameter(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    /// Whether the entry takes JSON.
    pub fn json(&self) -> bool {
        matches!(self.media, "application/json" | "application/*" | "*/*")
    }

    /// The encoding that it takes.
    fn encoding(&self) -> Option<Encoding> {
        match self.media {
            _ if self.json() && self.parameter("pretty") == "1" => Some(Encoding::Pretty),
            _ if self.json() => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            crate::protobuf::MEDIA_TYPE => Some(Encoding::Protobuf),
            _ => None,
        }
    }
}

/// What a client is told whose types are all unknown, of a document that is JSON alone.
pub(crate) fn not_acceptable() -> Status {
    refused(&["application/json"])
}

fn refused(served: &[&str]) -> Status {
    let list = served.join(", ");
    Status::not_acceptable(format!("only the following media types are accepted: {list}"))
}

/// Programs that show people what they get.
const OF_PEOPLE: [&str; 3] = ["curl", "Wget", "Mozilla/5.0"];

/// Whether JSON is to be indented, by the parameter of that name or else by the program that asks.
pub(crate) fn pretty(parameter: Option<&str>, headers: &HeaderMap) -> bool {
    match parameter {
        Some(text) => matches!(text, "1" | "t" | "T" | "true" | "True" | "TRUE"),
        None => headers.get(http::header::USER_AGENT).is_some_and(|agent| {
            OF_PEOPLE.iter().any(|name| agent.as_bytes().starts_with(name.as_bytes()))
        }),
    }
}

/// How errors are written for a client: as JSON, if it takes none of what there is.
pub(crate) fn encoding(headers: &HeaderMap) -> Encoding {
    let all = Accepted::all(headers);
    let mut wanted = all.iter().filter_map(Accepted::encoding);
    let first = wanted.next().unwrap_or(Encoding::Json);
    match first {
        Encoding::Protobuf => {
            wanted.find(|other| *other != Encoding::Protobuf).unwrap_or(Encoding::Protobuf)
        }
        other => other,
    }
}

/// The representation that the client prefers.
pub(crate) fn representation(headers: &HeaderMap, offer: Offer) -> Result<Representation, Status> {
    let all = Accepted::all(headers);
    let entries = |protobuf: bool| {
        all.iter()
            .filter_map(|entry| Some((entry, entry.encoding()?)))
            .filter(move |(_, encoding)| (*encoding == Encoding::Protobuf) == protobuf)
    };
    for (entry, encoding) in entries(false).chain(entries(true)) {
        let encoding = match (encoding, offer.form) {
            // Each event is a line.
            (Encoding::Pretty, Form::Watch) => Encoding::Json,
            (other, _) => other,
        };
        let served = match encoding {
            Encoding::Json | Encoding::Pretty => true,
            // No stream of events.
            Encoding::Yaml => offer.form != Form::Watch,
            Encoding::Protobuf => offer.protobuf,
        };
        if !served {
            continue;
        }
        if let Some(shape) = shape(entry, encoding, offer) {
            return Ok(Representation { encoding, shape: shape? });
        }
    }
    let served: &[&str] = match (offer.form, offer.protobuf) {
        (Form::Watch, true) => {
            &["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"]
        }
        (Form::Watch, false) => &["application/json;stream=watch"],
        (_, true) => &["application/json", "application/yaml", crate::protobuf::MEDIA_TYPE],
        (_, false) => &["application/json", "application/yaml"],
    };
    Err(refused(served))
}

/// What an entry asks to see: nothing if there is no such thing, an error if it is not to be had of this.
fn shape(entry: &Accepted<'_>, encoding: Encoding, offer: Offer) -> Option<Result<Shape, Status>> {
    let word = entry.parameter("as");
    if word.is_empty() {
        return Some(Ok(Shape::Plain));
    }
    let version = match (entry.parameter("g"), entry.parameter("v")) {
        ("meta.k8s.io", "v1") => "meta.k8s.io/v1",
        ("meta.k8s.io", "v1beta1") => "meta.k8s.io/v1beta1",
        _ => return None,
    };
    let kind = offer.kind;
    match (word, offer.form) {
        ("Table", _) if offer.table && encoding != Encoding::Protobuf => {
            Some(Ok(Shape::Table(version)))
        }
        ("PartialObjectMetadata", Form::Object | Form::Watch)
        | ("PartialObjectMetadataList", Form::List | Form::Watch) => {
            Some(Ok(Shape::Metadata(version)))
        }
        ("PartialObjectMetadata", Form::List) => Some(Err(Status::not_acceptable(format!(
            "you requested PartialObjectMetadata, but the requested object is a list (*v1.{kind}List)"
        )))),
        ("PartialObjectMetadataList", Form::Object) => Some(Err(Status::not_acceptable(format!(
            "you requested PartialObjectMetadataList, but the requested object is not a list (*v1.{kind})"
        )))),
        _ => None,
    }
}

/// The `includeObject` parameter of Table requests.
pub(crate) fn include(text: Option<&str>) -> Result<Include, Status> {
    match text {
        None | Some("Metadata") => Ok(Include::Metadata),
        Some("None") => Ok(Include::None),
        Some("Object") => Ok(Include::Object),
        Some(other) => Err(Status::bad_request(format!(
            "unrecognized includeObject value: {other}",
            other = quote(&other)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: Offer = Offer { form: Form::Object, kind: "Pod", protobuf: true, table: true };
    const PODS: Offer = Offer { form: Form::List, ..POD };
    const WATCH: Offer = Offer { form: Form::Watch, ..POD };

    fn headers(accept: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert("accept", accept.parse().unwrap());
        }
        headers
    }

    #[track_caller]
    fn check(accept: &str, offer: Offer, expected: Option<(Encoding, Shape)>) {
        let found = representation(&headers(accept), offer).ok();
        assert_eq!(found.map(|found| (found.encoding, found.shape)), expected, "{accept}");
    }

    const V1: &str = "meta.k8s.io/v1";
    const JSON: Option<(Encoding, Shape)> = Some((Encoding::Json, Shape::Plain));

    #[test]
    fn the_first_served_type_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        check("", POD, JSON);
        check("*/*", POD, JSON);
        check(table, PODS, Some((Encoding::Json, Shape::Table(V1))));
        check(
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json",
            PODS,
            Some((Encoding::Json, Shape::Table("meta.k8s.io/v1beta1"))),
        );
        check("application/json;as=Table;v=v9;g=meta.k8s.io, application/json", PODS, JSON);
        check("application/json;as=Nothing;v=v1;g=meta.k8s.io", PODS, None);
        check("application/yaml, application/json", POD, Some((Encoding::Yaml, Shape::Plain)));
        check("application/yaml;q=0.2, application/json;q=0.9", POD, JSON);
        check("text/html", POD, None);
        check("application/json;stream=watch", WATCH, JSON);
        check("application/yaml", WATCH, None);
        check(table, Offer { table: false, ..POD }, JSON);
        check("application/json;as=Table;v=v1;g=meta.k8s.io", Offer { table: false, ..POD }, None);
    }

    #[test]
    fn protobuf_is_for_those_who_take_nothing_else() {
        let protobuf = "application/vnd.kubernetes.protobuf";
        check(protobuf, POD, Some((Encoding::Protobuf, Shape::Plain)));
        check(&format!("{protobuf}, application/json"), POD, JSON);
        check(protobuf, WATCH, Some((Encoding::Protobuf, Shape::Plain)));
        check(protobuf, Offer { protobuf: false, ..POD }, None);
        check(&format!("{protobuf};as=Table;v=v1;g=meta.k8s.io"), PODS, None);
        check(
            &format!("{protobuf};as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
            POD,
            Some((Encoding::Protobuf, Shape::Metadata(V1))),
        );
        assert_eq!(encoding(&headers(protobuf)), Encoding::Protobuf);
        assert_eq!(encoding(&headers(&format!("{protobuf}, application/yaml"))), Encoding::Yaml);
        assert_eq!(encoding(&headers("text/html")), Encoding::Json);
    }

    #[test]
    fn metadata_of_a_list_and_of_an_object_are_two_things() {
        let list = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        let one = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        let metadata = Some((Encoding::Json, Shape::Metadata(V1)));
        check(list, PODS, metadata);
        check(one, POD, metadata);
        check(one, WATCH, metadata);
        for (accept, offer, message) in [
            (
                list,
                POD,
                "you requested PartialObjectMetadataList, but the requested object is not a list (*v1.Pod)",
            ),
            (
                one,
                PODS,
                "you requested PartialObjectMetadata, but the requested object is a list (*v1.PodList)",
            ),
        ] {
            let status = representation(&headers(accept), offer).unwrap_err();
            assert_eq!((status.code, status.message.as_str()), (406, message));
        }
    }

    #[test]
    fn what_is_served_is_said() {
        let message = |offer| representation(&headers("text/html"), offer).unwrap_err().message;
        assert_eq!(
            message(POD),
            "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
        );
        assert_eq!(
            message(Offer { protobuf: false, ..WATCH }),
            "only the following media types are accepted: application/json;stream=watch"
        );
    }
}
