//! Imports of what ImageStreams name elsewhere: woken by the streams, and by time where tags wish to be looked at again. When that
//! was is remembered by who imports, not written down: a new one begins to count anew.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use leme_lister::Key;
use leme_plan::image_imports::{EVERY, is_scheduled, plan};
use leme_plan::image_stream::ImageStream;

use crate::controller::Controller;
use crate::watch::Watch;

pub(crate) fn controller() -> Controller {
    let watches = vec![Watch::itself::<ImageStream>()];
    let looked: Mutex<HashMap<Key, Duration>> = Mutex::default();
    Controller::new("image-import-controller", watches, move |view, key| {
        let stream = view.cache.streams.get(&key.0, &key.1);
        let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
        if !stream.as_ref().is_some_and(|stream| is_scheduled(stream)) {
            looked.remove(key);
            return Ok(plan(stream.as_ref(), false));
        }
        let since = view.uptime.saturating_sub(*looked.entry(key.clone()).or_insert(view.uptime));
        let again = since >= EVERY;
        if again {
            looked.insert(key.clone(), view.uptime);
        }
        let mut plan = plan(stream.as_ref(), again);
        plan.again_in(if again { EVERY } else { EVERY.saturating_sub(since) });
        Ok(plan)
    })
}
