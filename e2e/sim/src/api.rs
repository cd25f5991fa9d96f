//! The API as a plain map: the same registry and strategies as the server, uids and names from a counter.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use k8s_openapi::Resource;
use leme_admission::{Chain, Facts, Seen};
use leme_kinds::{Kind, by_resource};

use leme_meta::{Status, patch};
use leme_registry::{Allocator, Context, DeleteOptions, Deletion, Target, Write, Writer};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::kinds::by_kind;

/// Letters and digits of generated names, as upstream picks them.
const ALPHABET: &[u8] = leme_meta::names::SUFFIX_ALPHABET;
/// Everybody in the simulation has one name.
const WRITER: Writer = Writer::Manager("simulation");
const ROUTE_DOMAIN: &str = "apps.localhost";

struct Stored {
    kind: &'static Kind,
    value: Value,
    revision: u64,
    /// The same as a type, once somebody has asked for it.
    typed: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// A change: the kind, namespace and name, and the object as it is now, if it still is.
pub(crate) type Event = (&'static Kind, (String, String), Option<Value>);

/// Hands out numbers in order.
struct Numbers<'a>(&'a mut u32);

impl Allocator for Numbers<'_> {
    fn cluster_ip(&mut self, requested: Option<&str>) -> Result<String, String> {
        *self.0 += 1;
        Ok(requested.map_or_else(
            || format!("10.96.{}.{}", *self.0 / 250, *self.0 % 250 + 1),
            str::to_owned,
        ))
    }

    fn node_port(&mut self, requested: Option<i64>) -> Result<i64, String> {
        *self.0 += 1;
        Ok(requested.unwrap_or(30000 + i64::from(*self.0)))
    }
}

/// The objects that admission looks at.
struct Known<'a>(&'a BTreeMap<String, Stored>);

impl Known<'_> {
    fn row(of: &Seen) -> Result<&'static Kind, Status> {
        by_resource(of.group, of.version, of.plural)
            .map(|kind| &**kind)
            .ok_or_else(Status::no_such_path)
    }
}

impl Facts for Known<'_> {
    fn get(&self, of: &Seen, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, Status> {
        let key = Known::row(of)?.key(namespace, name);
        Ok(self.0.get(&key).map(|stored| Arc::new(stored.value.clone())))
    }

    fn list(&self, of: &Seen, namespace: &str) -> Result<Vec<Arc<Value>>, Status> {
        let within = (!namespace.is_empty()).then_some(namespace);
        let prefix = Known::row(of)?.prefix(within);
        let found = self.0.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        Ok(found.map(|(_, stored)| Arc::new(stored.value.clone())).collect())
    }
}

/// All objects, by storage key.
pub struct Api {
    objects: BTreeMap<String, Stored>,
    /// Revision of the last write.
    pub revision: u64,
    /// The time now.
    pub now: Timestamp,
    /// How many objects of each kind were created and how many removed.
    pub counts: BTreeMap<&'static str, (usize, usize)>,
    /// What has changed since somebody took it.
    pub(crate) events: Vec<Event>,
    /// What pods have to do.
    pub(crate) loads: Vec<crate::load::Load>,
    numbers: u32,
    seed: u64,
}

impl Api {
    /// An API with nothing in it.
    pub fn new(now: Timestamp) -> Api {
        Api {
            objects: BTreeMap::new(),
            revision: 0,
            now,
            counts: BTreeMap::new(),
            events: Vec::new(),
            loads: Vec::new(),
            numbers: 0,
            seed: 1,
        }
    }

    fn random(&mut self) -> u64 {
        // Knuth's MMIX generator: enough for names that only have to differ.
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.seed >> 33
    }

    fn context<'a>(
        &mut self,
        kind: &'static Kind,
        namespace: &'a str,
        name: &'a str,
    ) -> Context<'a> {
        let suffix = (0..5).map(|_| {
            let index = self.random() % ALPHABET.len() as u64;
            char::from(ALPHABET[usize::try_from(index).unwrap_or(0)])
        });
        let suffix: String = suffix.collect();
        let uid = format!("{:08x}-0000-4000-8000-{:012x}", self.random(), self.revision + 1);
        Context {
            kind,
            strategy: leme_strategy::of(kind),
            namespace,
            name,
            user: None,
            now: self.now,
            uid,
            suffix,
            dry_run: false,
            route_domain: ROUTE_DOMAIN,
            registry_host: None,
            service_network: ([10, 96, 0, 0].into(), 16),
            admission: &leme_registry::AdmitAll,
        }
    }

    fn admission(&self) -> Chain<Known<'_>> {
        Chain::new(Known(&self.objects), &[])
    }

    fn put(&mut self, kind: &'static Kind, key: String, mut value: Value) -> Value {
        self.revision += 1;
        value["metadata"]["resourceVersion"] = self.revision.to_string().into();
        self.events.push((kind, place(&value), Some(value.clone())));
        let (revision, typed) = (self.revision, OnceLock::new());
        self.objects.insert(key, Stored { kind, value: value.clone(), revision, typed });
        value
    }

    /// Every object, as if all had just come.
    pub(crate) fn all(&self) -> Vec<Event> {
        let event =
            |stored: &Stored| (stored.kind, place(&stored.value), Some(stored.value.clone()));
        self.objects.values().map(event).collect()
    }

    fn stored(&self, kind: &'static Kind, namespace: &str, name: &str) -> Result<&Stored, Status> {
        let stored = self.objects.get(&kind.key(namespace, name));
        stored.ok_or_else(|| Status::not_found(&kind.gvr(), name))
    }

    /// An object.
    pub fn get(&self, kind: &'static Kind, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&kind.key(namespace, name)).map(|stored| &stored.value)
    }

    /// All objects of a kind, by key.
    pub fn list(&self, kind: &'static Kind, namespace: Option<&str>) -> Vec<&Value> {
        self.range(kind, namespace).map(|stored| &stored.value).collect()
    }

    fn range(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = &Stored> + use<'_> {
        let prefix = kind.prefix(namespace);
        let range = self.objects.range(prefix.clone()..);
        range.take_while(move |(key, _)| key.starts_with(&prefix)).map(|(_, stored)| stored)
    }

    /// All objects of a typed kind. What cannot be read is a fault of the write path: the simulation stops there.
    pub fn typed<K: Resource + DeserializeOwned + Send + Sync + 'static>(
        &self,
        namespace: Option<&str>,
    ) -> Vec<Arc<K>> {
        let Some(kind) = by_kind(K::GROUP, K::VERSION, K::KIND) else { return Vec::new() };
        self.range(kind, namespace).map(read).collect()
    }

    /// An object of a typed kind.
    pub fn typed_get<K: Resource + DeserializeOwned + Send + Sync + 'static>(
        &self,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<K>> {
        let kind = by_kind(K::GROUP, K::VERSION, K::KIND)?;
        self.objects.get(&kind.key(namespace, name)).map(read)
    }

    /// Creates an object.
    pub fn create(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        body: Value,
    ) -> Result<Value, Status> {
        let context = self.context(kind, namespace, "");
        let chain = self.admission();
        let context = Context { admission: &chain, ..context };
        let mut numbers = self.numbers;
        let new = leme_registry::create(&context, WRITER, body, &mut Numbers(&mut numbers))?;
        self.numbers = numbers;
        let name = new["metadata"]["name"].as_str().unwrap_or("").to_owned();
        let key = kind.key(namespace, &name);
        if self.objects.contains_key(&key) {
            return Err(Status::already_exists(&kind.gvr(), &name));
        }
        self.counts.entry(&kind.kind).or_default().0 += 1;
        Ok(self.put(kind, key, new))
    }

    /// Replaces an object or a part of it.
    pub fn update(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        target: Target,
        body: Value,
    ) -> Result<Value, Status> {
        let stored = self.stored(kind, namespace, name)?;
        let (old, revision) = (stored.value.clone(), stored.revision);
        let context = self.context(kind, namespace, name);
        let chain = self.admission();
        let context = Context { admission: &chain, ..context };
        let mut numbers = self.numbers;
        let write = leme_registry::update(
            &context,
            target,
            WRITER,
            body,
            (&old, revision),
            &mut Numbers(&mut numbers),
        )?;
        self.numbers = numbers;
        Ok(self.write(kind, kind.key(namespace, name), old, write))
    }

    fn write(&mut self, kind: &'static Kind, key: String, old: Value, write: Write) -> Value {
        match write {
            Write::Unchanged => old,
            Write::Put(new) => self.put(kind, key, new),
            Write::Remove => self.remove(kind, &key, old),
        }
    }

    fn remove(&mut self, kind: &'static Kind, key: &str, old: Value) -> Value {
        self.counts.entry(&kind.kind).or_default().1 += 1;
        self.revision += 1;
        self.objects.remove(key);
        self.events.push((kind, place(&old), None));
        old
    }

    /// Merge-patches an object or its status.
    pub fn patch(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        target: Target,
        changes: &Value,
    ) -> Result<Value, Status> {
        let body = patch::merge(&self.stored(kind, namespace, name)?.value, changes);
        self.update(kind, namespace, name, target, body)
    }

    /// Deletes an object, or marks it as being deleted.
    pub fn delete(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Value, Status> {
        let stored = self.stored(kind, namespace, name)?;
        let (old, revision) = (stored.value.clone(), stored.revision);
        let context = self.context(kind, namespace, name);
        let chain = self.admission();
        let context = Context { admission: &chain, ..context };
        let key = kind.key(namespace, name);
        Ok(match leme_registry::delete(&context, options, &old, revision)? {
            Deletion::Remove => self.remove(kind, &key, old),
            Deletion::Mark(new) => self.put(kind, key, new),
            Deletion::AlreadyMarked => old,
        })
    }

    /// Binds a pod.
    pub fn bind(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        binding: Value,
    ) -> Result<Value, Status> {
        let old = self.stored(kind, namespace, name)?.value.clone();
        let context = self.context(kind, namespace, name);
        let write = leme_registry::bind(&context, binding, &old)?;
        Ok(self.write(kind, kind.key(namespace, name), old, write))
    }
}

/// An object's namespace and name.
fn place(value: &Value) -> (String, String) {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or("").to_owned();
    (text("namespace"), text("name"))
}

fn read<K: Resource + DeserializeOwned + Send + Sync + 'static>(stored: &Stored) -> Arc<K> {
    let decode = || -> Arc<K> {
        match serde_json::from_value(stored.value.clone()) {
            Ok(object) => Arc::new(object),
            Err(error) => panic!("a stored {} cannot be read: {error}\n{}", K::KIND, stored.value),
        }
    };
    let typed = stored.typed.get_or_init(|| decode());
    Arc::downcast::<K>(typed.clone()).unwrap_or_else(|_| decode())
}
