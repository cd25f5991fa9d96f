//! Blocks of users for the namespaces of projects.
//!
//! Knows: a block is given away once, by compare-and-put of one object that says which are. Refuses to know: what
//! namespaces do with their users.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leme_admission::scc::allotted::{self, BLOCKS, RANGE};
use leme_kinds::Kind;
use leme_meta::Status;
use leme_registry::{Target, json};
use serde_json::{Value, json};

use crate::answer::read_failed;
use crate::api::Api;
use crate::request::{ResourceRequest, Verb};
use crate::table;
use crate::write::WriteOptions;

/// The object that says which blocks are given away.
const NAME: &str = "scc-uid";
/// How often somebody else may be faster to make it or to fill it.
const TRIES: usize = 5;

/// Which blocks are given away: the bits of a number, which is written with its highest byte first.
struct Blocks(Vec<u8>);

impl Blocks {
    fn read(text: &str) -> Option<Blocks> {
        let mut bytes = STANDARD.decode(text).ok()?;
        bytes.reverse();
        bytes.resize(BLOCKS.div_ceil(8), 0);
        Some(Blocks(bytes))
    }

    fn written(&self) -> String {
        let bytes = self.0.iter().rev().copied().skip_while(|byte| *byte == 0);
        STANDARD.encode(bytes.collect::<Vec<u8>>())
    }

    fn give(&mut self, block: usize) {
        if let Some(byte) = self.0.get_mut(block / 8) {
            *byte |= 1 << (block % 8);
        }
    }

    fn first_free(&self) -> Option<usize> {
        (0..BLOCKS).find(|block| self.0[block / 8] & (1 << (block % 8)) == 0)
    }
}

fn kind(group: &str, plural: &str) -> Result<&'static std::sync::Arc<Kind>, Status> {
    leme_kinds::by_resource(group, "v1", plural).ok_or_else(Status::no_such_path)
}

impl Api {
    /// Gives a namespace that is made as a project, or that says who asked for one, a block of users.
    pub(crate) async fn allot_users(
        &self,
        request: &ResourceRequest,
        namespace: &mut Value,
        dry_run: bool,
    ) -> Result<(), Status> {
        let kept = &request.kept.kind;
        let is_namespace = kept.group.is_empty() && *kept.plural == *"namespaces";
        let is_project = *request.kind.group == *"project.openshift.io";
        if !is_namespace
            || dry_run
            || !(is_project || allotted::was_asked_for(namespace))
            || allotted::is_constrained(namespace)
        {
            return Ok(());
        }
        let block = self.next_block().await?;
        let annotations = json::child(json::child(namespace, "metadata"), "annotations");
        for (name, value) in allotted::annotations(block) {
            json::set(annotations, name, value);
        }
        Ok(())
    }

    async fn next_block(&self) -> Result<usize, Status> {
        let update = ResourceRequest::of(
            Verb::Update,
            kind("security.openshift.io", "rangeallocations")?,
            "",
            NAME,
        );
        let create = ResourceRequest { verb: Verb::Create, name: String::new(), ..update.clone() };
        let options = WriteOptions::plain();
        for _ in 0..TRIES {
            match self.take_block(&update).await? {
                Some(Some(block)) => return Ok(block),
                Some(None) => self.count_blocks(&update).await?,
                None => {
                    let object = json!({
                        "apiVersion": "security.openshift.io/v1", "kind": "RangeAllocation",
                        "metadata": { "name": NAME }, "range": RANGE, "data": self.used_blocks().await?.written(),
                    });
                    let created =
                        Box::pin(self.create_object(&create, options.writer(), object, &options));
                    match created.await {
                        Err(status) if status.reason != "AlreadyExists" => return Err(status),
                        _ => {}
                    }
                }
            }
        }
        Err(Status::internal("uid range exceeded"))
    }

    /// Takes the first block that is free, if there is one; nothing if no object says which are.
    async fn take_block(&self, update: &ResourceRequest) -> Result<Option<Option<usize>>, Status> {
        let mut taken = None;
        let is_there = self.make_of(update, Target::Main, |stored| {
            let mut blocks = blocks_of(stored)?;
            taken = blocks.first_free();
            let Some(block) = taken else { return Ok(None) };
            blocks.give(block);
            Ok(Some(with_blocks(stored, &blocks)))
        });
        Ok(is_there.await?.then_some(taken))
    }

    /// Finds out anew which blocks namespaces have, when all are given away: those of namespaces that have gone are free.
    async fn count_blocks(&self, update: &ResourceRequest) -> Result<(), Status> {
        let used = self.used_blocks().await?;
        if used.first_free().is_none() {
            return Err(Status::internal("uid range exceeded"));
        }
        let changed = self.make_of(update, Target::Main, |stored| {
            let is_free = blocks_of(stored)?.first_free().is_some();
            Ok((!is_free).then(|| with_blocks(stored, &used)))
        });
        changed.await.map(drop)
    }

    async fn used_blocks(&self) -> Result<Blocks, Status> {
        self.cache.fresh().await.map_err(read_failed)?;
        let mut blocks = Blocks(vec![0; BLOCKS.div_ceil(8)]);
        let snapshot = self.cache.snapshot(&kind("", "namespaces")?.prefix(None));
        for object in snapshot.iter().flat_map(|snapshot| snapshot.iter()) {
            if let Some(block) = allotted::block_of(&table::decoded(object)?) {
                blocks.give(block);
            }
        }
        Ok(blocks)
    }
}

fn with_blocks(stored: &Value, blocks: &Blocks) -> Value {
    let mut new = stored.clone();
    json::set(&mut new, "data", blocks.written());
    new
}

fn blocks_of(object: &Value) -> Result<Blocks, Status> {
    let range = json::text(object, &["range"]);
    if range != RANGE {
        return Err(Status::internal(format!(
            "conflicting UID range; expected {RANGE}, got {range}"
        )));
    }
    Blocks::read(json::text(object, &["data"]))
        .ok_or_else(|| Status::internal(format!("the blocks of {NAME} cannot be read")))
}
