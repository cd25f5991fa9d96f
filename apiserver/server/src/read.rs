//! GET and LIST: answered from the cache's bytes.
//!
//! Knows: revisions asked for, pages, the frame of a list document. Refuses to know: what objects hold, except when a
//! Table or metadata is asked for.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use http::HeaderMap;
use leme_kinds::{Storage, Subresource};
use leme_meta::Status;
use leme_store::StoreError;
use leme_store::cache::{Cached, Snapshot};
use serde_json::{Value, json};

use crate::answer::{self, Answer, read_failed};
use crate::api::Api;
use crate::body::Body;
use crate::budget::{self, Payer};
use crate::chunks::{Before, Items, chunked};
use crate::negotiate::{Encoding, Representation, Shape};
use crate::pages::{self, Token};
use crate::present;
use crate::protobuf;
use crate::request::ResourceRequest;
use crate::selection::{Match, Selection, Version};
use crate::table;

/// So many objects are encoded before others get their turn.
const AT_A_TIME: usize = 200;

impl Api {
    /// Waits until the cache is as new as the request asks.
    pub(crate) async fn catch_up(&self, revision: Option<u64>) -> Result<(), Status> {
        match revision {
            None => self.cache.fresh().await.map(drop).map_err(read_failed),
            Some(0) => Ok(()),
            Some(asked) => match self.cache.at_least(asked).await {
                Ok(()) => Ok(()),
                Err(_) if self.cache.revision() < asked => {
                    Err(answer::too_new(asked, self.cache.revision()))
                }
                Err(error) => Err(read_failed(error)),
            },
        }
    }

    /// GET of one object, or of its scale.
    pub(crate) async fn get(
        &self,
        request: &ResourceRequest,
        headers: &HeaderMap,
    ) -> Result<Answer, Status> {
        if request.kind.storage == Storage::Virtual {
            return self.component(request, headers).await;
        }
        let wanted = present::wanted(request, headers)?;
        self.catch_up(Version::of(request)?.revision).await?;
        let object = self
            .cache
            .get(&request.kind.prefix(None), &request.key())
            .filter(|object| request.shows(object))
            .ok_or_else(|| self.missing(request))?;
        if request.subresource == Some(Subresource::Scale) {
            let scale = request.strategy().scale.ok_or_else(Status::no_such_path)?;
            let value =
                leme_registry::scale_shown(&request.kind, &scale, &table::decoded(&object)?)?;
            return present::object(request, wanted, 200, value);
        }
        if is_as_kept(request, wanted, [&*object]) {
            return kept_object(request, wanted.encoding, &object);
        }
        present::object(request, wanted, 200, table::decoded(&object)?)
    }

    /// Why there is no object to show.
    fn missing(&self, request: &ResourceRequest) -> Status {
        let key = request.key();
        match self.cache.unreadable_at(&request.kind.prefix(None), &key) {
            Some(why) => answer::unreadable(&key, &why),
            None => Status::not_found(&request.gvr(), &request.name),
        }
    }

    /// LIST of a collection.
    pub(crate) async fn list(
        &self,
        request: &ResourceRequest,
        headers: &HeaderMap,
        payer: &Payer,
    ) -> Result<Answer, Status> {
        // What cannot be shown is not looked for.
        let wanted = present::wanted(request, headers)?;
        if request.kind.storage == Storage::Virtual && request.kind.plural == "componentstatuses" {
            return self.components(request, headers).await;
        }
        match self.page(request).await? {
            Ok(page) => {
                let _room = budget::room(payer, page.cost(request, wanted)).await;
                page.prepare(request, wanted).await;
                page.shown(request, wanted)
            }
            Err(expired) => Ok(expired),
        }
    }

    /// The page of a collection that a request asks for; or, if its token is too old, the answer that says so.
    pub(crate) async fn page(
        &self,
        request: &ResourceRequest,
    ) -> Result<Result<Page, Answer>, Status> {
        let mut selection = Selection::of(request)?;
        // Nothing and less than nothing are no limit.
        let limit = request.query.int("limit")?.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(0);
        request.query.int("timeoutSeconds")?;
        let version = Version::of_list(request)?;
        let token = request.query.get("continue").map(Token::decode).transpose()?;
        if token.is_some() && version.revision.is_some_and(|revision| revision != 0) {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let snapshot = match &token {
            Some(token) => match self.snapshot_of_page(request, token).await? {
                Some(snapshot) => snapshot,
                None => return Ok(Err(answer::value(410, &pages::expired(token)))),
            },
            None => self.snapshot(request, version, limit > 0).await?,
        };
        if request.kept.is_by_right() {
            self.policies.caught_up(&self.cache).await;
            selection.under(self.policies.load_full());
        }
        Ok(Ok(Page::cut(&snapshot, &selection, token.as_ref(), limit)))
    }

    /// The state that a list without a token is of.
    pub(crate) async fn snapshot(
        &self,
        request: &ResourceRequest,
        version: Version,
        paged: bool,
    ) -> Result<Snapshot, Status> {
        self.catch_up(version.revision).await?;
        let prefix = request.kind.prefix(None);
        // A page of a named revision is of exactly that one, also if the client did not say so.
        let exact = version.matching == Match::Exact || (paged && version.matching == Match::Unset);
        match version.revision {
            Some(asked) if asked > 0 && exact => {
                self.cache.snapshot_at(&prefix, asked).map_err(read_failed)
            }
            _ => self.cache.snapshot(&prefix).ok_or_else(Status::no_such_path),
        }
    }

    /// The state that a token names; `None` if its history is gone.
    async fn snapshot_of_page(
        &self,
        request: &ResourceRequest,
        token: &Token,
    ) -> Result<Option<Snapshot>, Status> {
        let prefix = request.kind.prefix(None);
        let Some(revision) = token.revision else {
            self.catch_up(None).await?;
            return self.cache.snapshot(&prefix).map(Some).ok_or_else(Status::no_such_path);
        };
        match self.cache.snapshot_at(&prefix, revision) {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(StoreError::Compacted { .. }) => Ok(None),
            Err(StoreError::Future { .. }) => Err(Status::bad_request(
                "continue key is not valid: its resourceVersion does not exist",
            )),
            Err(error) => Err(read_failed(error)),
        }
    }
}

/// Whether what a request wants of these objects is what the cache holds.
fn is_as_kept<'a>(
    request: &ResourceRequest,
    wanted: Representation,
    objects: impl IntoIterator<Item = &'a Cached>,
) -> bool {
    wanted.shape == Shape::Plain
        && matches!(wanted.encoding, Encoding::Json | Encoding::Protobuf)
        && objects.into_iter().all(|object| request.kept.as_served(&object.json))
}

/// An object as the cache holds it.
fn kept_object(
    request: &ResourceRequest,
    encoding: Encoding,
    object: &Cached,
) -> Result<Answer, Status> {
    if encoding == Encoding::Json {
        return Ok(answer::json(200, object.json.clone()));
    }
    let kind = &request.kind;
    let message = protobuf::kept(kind, object).ok_or_else(protobuf::not_encoded)?;
    let bytes = protobuf::enveloped(&kind.api_version(), &kind.kind, &message);
    Ok(answer::with_body(200, encoding.media_type(), Body::whole(bytes)))
}

/// One page of a list.
pub(crate) struct Page {
    revision: u64,
    objects: Vec<Arc<Cached>>,
    next: Option<Token>,
    /// How many follow; only told when nothing was selected.
    remaining: Option<usize>,
}

impl Page {
    fn cut(
        snapshot: &Snapshot,
        selection: &Selection,
        token: Option<&Token>,
        limit: usize,
    ) -> Page {
        let after =
            token.map(|token| format!("{}{}", selection.prefix(), token.after)).unwrap_or_default();
        let mut matching =
            snapshot.range(selection.prefix(), &after).filter(|object| selection.matches(object));
        let revision = snapshot.revision();
        if limit == 0 {
            let objects = matching.cloned().collect();
            return Page { revision, objects, next: None, remaining: None };
        }
        let objects: Vec<Arc<Cached>> = matching.by_ref().take(limit).cloned().collect();
        let more = matching.next().is_some();
        let next = objects.last().filter(|_| more).map(|last| Token {
            // A list that lost its revision stays at "newest" to its end.
            revision: token.is_none_or(|token| token.revision.is_some()).then_some(revision),
            after: last.key[selection.prefix().len()..].to_owned(),
        });
        let remaining = (more && selection.is_everything()).then(|| 1 + matching.count());
        Page { revision, objects, next, remaining }
    }

    /// The objects on it.
    pub fn objects(&self) -> impl Iterator<Item = &Cached> {
        self.objects.iter().map(|object| &**object)
    }

    /// About how many bytes of memory it takes to show it, beyond what the cache holds.
    fn cost(&self, request: &ResourceRequest, wanted: Representation) -> usize {
        if !is_as_kept(request, wanted, self.objects()) {
            // What is decoded is in memory as a whole, and larger than its bytes.
            return 4 * self.bytes();
        }
        let fresh =
            |object: &&Cached| wanted.encoding == Encoding::Protobuf && !object.is_encoded();
        self.objects().filter(fresh).map(|object| object.json.len()).sum()
    }

    /// Encodes what is not encoded yet, some objects at a time, so that others are served meanwhile.
    async fn prepare(&self, request: &ResourceRequest, wanted: Representation) {
        if wanted.encoding != Encoding::Protobuf || !is_as_kept(request, wanted, self.objects()) {
            return;
        }
        for some in self.objects.chunks(AT_A_TIME) {
            let mut made = false;
            for object in some.iter().filter(|object| !object.is_encoded()) {
                protobuf::kept(&request.kind, object);
                made = true;
            }
            if made {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The page as the client wants to see it.
    pub fn shown(
        self,
        request: &ResourceRequest,
        wanted: Representation,
    ) -> Result<Answer, Status> {
        if is_as_kept(request, wanted, self.objects()) {
            return match wanted.encoding {
                Encoding::Protobuf => self.in_protobuf(request),
                _ => Ok(self.in_json(request)),
            };
        }
        let document = self.decoded(request, wanted.shape)?;
        present::document(wanted.encoding, 200, &document)
    }

    fn bytes(&self) -> usize {
        self.objects.iter().map(|object| object.json.len()).sum()
    }

    fn metadata(&self) -> Value {
        let mut metadata = json!({ "resourceVersion": self.revision.to_string() });
        if let Some(next) = &self.next {
            metadata["continue"] = next.encode().into();
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        metadata
    }

    /// The list document put together from the objects' bytes, chunk by chunk.
    fn in_json(self, request: &ResourceRequest) -> Answer {
        let head = format!(
            "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
            Value::from(request.kind.list_kind()),
            Value::from(request.kind.api_version()),
            self.metadata(),
        );
        let commas = self.objects.len().saturating_sub(1);
        let items = Items {
            length: self.bytes() + commas,
            before: |out, first, _| {
                if !first {
                    out.put_u8(b',');
                }
            },
            items: self.objects.into_iter().map(|object| object.json.clone()),
        };
        chunked("application/json", head.into_bytes(), items, b"]}\n")
    }

    /// The same in protobuf, of messages that are kept with the objects.
    fn in_protobuf(self, request: &ResourceRequest) -> Result<Answer, Status> {
        let before: Before = |out, _, length| protobuf::item_head(out, length);
        let kept = self.objects.iter().map(|object| protobuf::kept(&request.kind, object));
        let messages: Vec<Bytes> = kept.collect::<Option<_>>().ok_or_else(protobuf::not_encoded)?;
        let length = messages
            .iter()
            .map(|message| message.len() + protobuf::item_head_length(message.len()))
            .sum();
        let (kind, api_version) = (request.kind.list_kind(), request.kind.api_version());
        let head = protobuf::list_head(&api_version, &kind, &self.metadata(), length);
        let items = Items { length, before, items: messages.into_iter() };
        Ok(chunked(Encoding::Protobuf.media_type(), head, items, &protobuf::TAIL))
    }

    fn decoded(&self, request: &ResourceRequest, shape: Shape) -> Result<Value, Status> {
        let values = self.objects.iter().map(|object| table::decoded(object));
        present::list(request, shape, &self.metadata(), values)
    }
}
