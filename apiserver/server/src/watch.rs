//! WATCH: the cache's events as a stream of JSON lines.
//!
//! Knows: where a watch starts, when it ends, bookmarks. Refuses to know: how a change is written (frames) and which
//! objects are meant (selection).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::HeaderMap;
use leme_kinds::Kind;
use leme_meta::Status;
use leme_store::StoreError;
use leme_store::cache::{Kind as Change, Snapshot, SubEvent, Subscription};
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Answer, read_failed};
use crate::api::Api;
use crate::body::Body;
use crate::budget::{self, Payer};
use crate::frames::Frames;
use crate::metrics::Series;
use crate::negotiate;
use crate::present;
use crate::request::ResourceRequest;
use crate::selection::{Selection, Version};
use crate::sight::{News, Sight};

/// A watch without `timeoutSeconds` ends after this, plus up to as much again, so that not all end at once.
const LIFE: Duration = Duration::from_secs(30 * 60);
/// Events taken from the cache at a time, and bytes put into one chunk.
const BATCH: usize = 64;
const CHUNK: usize = 64 * 1024;

/// What a watch request asks for.
struct Wanted {
    version: Version,
    /// First all that is there, as ADDED.
    initial: bool,
    /// Then a bookmark that says that this was all.
    marked: bool,
    bookmarks: bool,
    life: Duration,
}

impl Wanted {
    fn of(request: &ResourceRequest) -> Result<Wanted, Status> {
        let query = &request.query;
        let version = Version::of_watch(request)?;
        let bookmarks = query.flag("allowWatchBookmarks");
        let asked = query.has("sendInitialEvents").then(|| query.flag("sendInitialEvents"));
        if query.get("continue").is_some() {
            return Err(Status::bad_request("continue is not supported by watch"));
        }
        let life = match query.int("timeoutSeconds")? {
            None | Some(0) => LIFE + LIFE.mul_f64(random_fraction()),
            Some(seconds) => Duration::from_secs(seconds.clamp(0, 24 * 3600).unsigned_abs()),
        };
        let legacy = version.revision.is_none_or(|revision| revision == 0);
        Ok(Wanted {
            version,
            initial: asked.unwrap_or(legacy),
            marked: asked == Some(true),
            bookmarks,
            life,
        })
    }
}

fn random_fraction() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}

impl Api {
    /// WATCH of a collection.
    pub(crate) async fn watch(
        &self,
        request: &ResourceRequest,
        headers: &HeaderMap,
        payer: Payer,
        series: Option<Arc<Series>>,
    ) -> Result<Answer, Status> {
        let mut selection = Selection::of(request)?;
        let wanted_form = present::wanted(request, headers)?;
        let include = negotiate::include(request.query.get("includeObject"))?;
        let wanted = Wanted::of(request)?;
        self.catch_up(wanted.version.revision).await?;
        let frames = Frames::new(request, wanted_form, include);
        let media_type = frames.media_type();
        let mut sight =
            request.kept.is_by_right().then(|| Sight::new(request, &self.cache, &self.policies));
        if sight.is_some() {
            self.policies.caught_up(&self.cache).await;
        }
        let all =
            self.cache.snapshot(&request.kind.prefix(None)).ok_or_else(Status::no_such_path)?;
        let opened = self.opened(&all, &wanted, &mut selection, (&request.kind, sight.as_mut()));
        if !self.is_current(&request.kind) {
            return Ok(answer::with_body(200, media_type, Body::empty()));
        }
        let (subscription, news, revision) = match opened {
            Ok(opened) => opened,
            // The watch is opened all the same: its only event is the error, as client libraries expect it.
            Err(StoreError::Compacted { asked, oldest }) => {
                let error = frames.error(&answer::too_old(asked, oldest));
                return Ok(answer::with_body(200, media_type, Body::whole(error)));
            }
            Err(error) => return Err(read_failed(error)),
        };
        let stream = Stream {
            subscription,
            selection,
            sight,
            frames,
            news,
            mark: (wanted.marked && wanted.bookmarks).then_some(revision),
            bookmarks: wanted.bookmarks,
            bookmarked: 0,
            seen: revision,
            end: end(wanted.life, self.lifetime.stop_token()),
            ended: false,
            batch: VecDeque::new(),
            payer,
            series,
        };
        let chunks = futures::stream::unfold(stream, |mut stream| async move {
            stream.next_chunk().await.map(|chunk| (Ok(chunk), stream))
        });
        Ok(answer::with_body(200, media_type, Body::live(chunks)))
    }

    /// Where a watch starts: what changes from there, what is told before that, and the revision.
    fn opened(
        &self,
        all: &Snapshot,
        wanted: &Wanted,
        selection: &mut Selection,
        (kind, sight): (&Kind, Option<&mut Sight>),
    ) -> Result<(Subscription, News, u64), StoreError> {
        let prefix = kind.prefix(None);
        let asked = wanted.version.revision.filter(|from| *from > 0);
        let from = match wanted.initial {
            true => None,
            // No initial events and no revision: from now on.
            false => Some(asked.unwrap_or(self.cache.revision())),
        };
        let (news, from) = match (from, sight) {
            (Some(from), None) => (News::new(), from),
            (Some(from), Some(sight)) => {
                let then = self.cache.snapshot_at(&prefix, from)?;
                let oldest = self.cache.revision();
                let known = sight.since(selection, &then);
                (known.ok_or(StoreError::Compacted { asked: from, oldest })?, from)
            }
            (None, Some(sight)) => (sight.first(selection, all), all.revision()),
            (None, None) => {
                let selected = all.range(selection.prefix(), "");
                let selected = selected.filter(|object| selection.matches(object));
                let added = |object: &Arc<_>| (Change::Added, Arc::clone(object));
                (selected.map(added).collect(), all.revision())
            }
        };
        Ok((self.cache.watch(&prefix, from)?, news, from))
    }
}

/// A watch that is open.
struct Stream {
    subscription: Subscription,
    selection: Selection,
    /// What the watcher sees, where each sees but a part.
    sight: Option<Sight>,
    frames: Frames,
    /// What is still to be told besides changes of objects: all that was there when the watch began.
    news: News,
    /// The revision of the bookmark that ends the initial events.
    mark: Option<u64>,
    bookmarks: bool,
    /// The revision of the last bookmark.
    bookmarked: u64,
    /// The revision of the last event looked at.
    seen: u64,
    /// Resolves when the watch has lasted long enough; made once, for it is looked at with every event.
    end: BoxFuture<'static, ()>,
    ended: bool,
    /// What was taken from the cache and is still to be told.
    batch: VecDeque<SubEvent>,
    payer: Payer,
    /// Where what is told is counted.
    series: Option<Arc<Series>>,
}

fn end(life: Duration, stopping: CancellationToken) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        // Either way it is over.
        let _ = tokio::time::timeout(life, stopping.cancelled_owned()).await;
    })
}

/// What comes into sight and leaves it by changes of rights; never for who sees all.
async fn turned(sight: &mut Option<Sight>, selection: &mut Selection) -> News {
    let news = match sight {
        Some(sight) => sight.next(selection).await,
        None => None,
    };
    match news {
        Some(news) => news,
        None => std::future::pending().await,
    }
}

/// What a frame adds to an object.
const FRAME: usize = 32;

/// Bytes of the chunk that begins with frames of objects of these sizes.
fn together(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    for size in sizes {
        bytes += size + FRAME;
        if bytes >= CHUNK {
            break;
        }
    }
    bytes
}

impl Stream {
    /// The next bytes; `None` when the watch is over.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        loop {
            if !self.news.is_empty() || self.mark.is_some() {
                let sizes = self.news.iter().map(|(_, object)| object.json.len());
                let room = budget::room(&self.payer, together(sizes)).await;
                if let Some(chunk) = self.chunk_of_news() {
                    return Some(budget::filled(room, chunk));
                }
            }
            if let Some(chunk) = self.next_of_batch().await {
                return Some(chunk);
            }
            if self.ended {
                return None;
            }
            let batch = tokio::select! {
                biased;
                () = &mut self.end => return self.last_bookmark(),
                news = turned(&mut self.sight, &mut self.selection) => {
                    self.news.extend(news);
                    continue;
                }
                batch = self.subscription.next_batch(BATCH) => batch,
            };
            if batch.is_empty() {
                return None;
            }
            self.batch = batch.into();
        }
    }

    /// The next chunk of what was taken from the cache. A single frame is shared by all who watch and counts for nothing.
    async fn next_of_batch(&mut self) -> Option<Bytes> {
        while !self.batch.is_empty() {
            let room = if self.batch.len() > 1 {
                let sizes = self.batch.iter().map(|item| match item {
                    SubEvent::Event(event) => event.object.json.len(),
                    SubEvent::Progress(_) | SubEvent::Expired => 0,
                });
                budget::room(&self.payer, together(sizes)).await
            } else {
                None
            };
            if let Some(chunk) = self.encode() {
                return Some(budget::filled(room, chunk));
            }
        }
        None
    }

    fn chunk_of_news(&mut self) -> Option<Bytes> {
        let mut chunk = Chunk::default();
        while chunk.size < CHUNK {
            let Some((change, object)) = self.news.pop_front() else { break };
            chunk.push(self.frames.told(change, &object));
        }
        if self.news.is_empty()
            && let Some(revision) = self.mark.take()
        {
            self.bookmarked = revision;
            chunk.push(self.frames.bookmark(revision, true));
        }
        chunk.finish(self.series.as_deref())
    }

    fn encode(&mut self) -> Option<Bytes> {
        let mut chunk = Chunk::default();
        while chunk.size < CHUNK {
            let Some(item) = self.batch.pop_front() else { break };
            match item {
                SubEvent::Event(event) => {
                    self.seen = event.revision;
                    let around = match &mut self.sight {
                        Some(sight) => sight.around(&mut self.selection, &event),
                        None => self.selection.around(&event),
                    };
                    if let Some(frame) = self.frames.event(&event, around) {
                        chunk.push(frame);
                    }
                }
                SubEvent::Progress(revision) => {
                    if self.bookmarks && revision > self.bookmarked {
                        self.bookmarked = revision;
                        chunk.push(self.frames.bookmark(revision, false));
                    }
                }
                SubEvent::Expired => {
                    self.ended = true;
                    let status =
                        Status::expired(format!("too old resource version: {}", self.seen));
                    chunk.push(self.frames.error(&status));
                }
            }
        }
        chunk.finish(self.series.as_deref())
    }

    /// Where the client can go on, told at the end of the watch.
    fn last_bookmark(&mut self) -> Option<Bytes> {
        self.ended = true;
        let revision = self.subscription.progress()?;
        (self.bookmarks && revision > self.bookmarked)
            .then(|| self.frames.bookmark(revision, false))
    }
}

/// Frames gathered into one chunk; a single one is passed on as it is, shared with every other watcher.
#[derive(Default)]
struct Chunk {
    first: Option<Bytes>,
    rest: BytesMut,
    size: usize,
    frames: u64,
}

impl Chunk {
    fn push(&mut self, frame: Bytes) {
        self.size += frame.len();
        self.frames += 1;
        if self.first.is_none() && self.rest.is_empty() {
            self.first = Some(frame);
            return;
        }
        if let Some(first) = self.first.take() {
            self.rest.extend_from_slice(&first);
        }
        self.rest.extend_from_slice(&frame);
    }

    fn finish(self, series: Option<&Series>) -> Option<Bytes> {
        if let Some(series) = series.filter(|_| self.frames > 0) {
            series.told(self.frames);
        }
        self.first.or_else(|| (!self.rest.is_empty()).then(|| self.rest.freeze()))
    }
}
