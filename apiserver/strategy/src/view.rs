//! Kinds that are views: how their objects become those of the kind as which they are kept, and back.
//!
//! Knows: which kinds are views, and both directions of each. Refuses to know: when a conversion is due.

use leme_kinds::Kind;
use leme_registry::json;
use serde_json::Value;

use crate::authorization::convert;
use crate::{OLDER_RBAC, autoscaling, project};

/// How objects of a kind are kept as those of another.
#[derive(Debug)]
pub struct View {
    /// Group, version and kind that are served.
    served: (&'static str, &'static str, &'static str),
    /// Makes of an object as it is served one as it is kept; the error says why there is none.
    pub to_kept: fn(&mut Value) -> Result<(), String>,
    /// Makes of an object as it is kept one as it is served.
    pub to_served: fn(&mut Value),
    /// Selectable fields by the names they are served and kept under, where these differ.
    pub fields: &'static [(&'static str, &'static str)],
}

const VIEWS: &[View] = &[
    rbac("ClusterRole"),
    rbac("ClusterRoleBinding"),
    rbac("Role"),
    rbac("RoleBinding"),
    View {
        served: ("autoscaling", "v1", "HorizontalPodAutoscaler"),
        to_kept: |scaler| {
            autoscaling::convert::to_v2(scaler);
            Ok(())
        },
        to_served: autoscaling::convert::to_v1,
        fields: &[],
    },
    View {
        served: ("events.k8s.io", "v1", "Event"),
        to_kept: |event| {
            event_fields(event, "v1", |(served, kept)| (served, kept));
            Ok(())
        },
        to_served: |event| event_fields(event, "events.k8s.io/v1", |(served, kept)| (kept, served)),
        fields: &[
            ("regarding.kind", "involvedObject.kind"),
            ("regarding.namespace", "involvedObject.namespace"),
            ("regarding.name", "involvedObject.name"),
            ("regarding.uid", "involvedObject.uid"),
            ("regarding.apiVersion", "involvedObject.apiVersion"),
            ("regarding.resourceVersion", "involvedObject.resourceVersion"),
            ("regarding.fieldPath", "involvedObject.fieldPath"),
            ("reportingController", "reportingComponent"),
        ],
    },
    View {
        served: ("project.openshift.io", "v1", "Project"),
        to_kept: |project| {
            project::to_namespace(project);
            Ok(())
        },
        to_served: project::from_namespace,
        fields: &[],
    },
];

const fn rbac(kind: &'static str) -> View {
    View {
        served: (OLDER_RBAC, "v1", kind),
        to_kept: convert::to_rbac,
        to_served: convert::from_rbac,
        fields: &[],
    }
}

/// How a kind is kept, if it is a view.
pub fn view(kind: &Kind) -> Option<&'static View> {
    VIEWS.iter().find(|view| view.served == (&*kind.group, &*kind.version, &*kind.kind))
}

/// Fields of an Event by their names in `events.k8s.io` and in the core group.
const EVENT: &[(&str, &str)] = &[
    ("deprecatedCount", "count"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedSource", "source"),
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
];

type Names = (&'static str, &'static str);

fn event_fields(event: &mut Value, api_version: &str, direction: fn(Names) -> Names) {
    json::set(event, "apiVersion", api_version);
    for (from, to) in EVENT.iter().copied().map(direction) {
        if let Some(content) = event.as_object_mut().and_then(|event| event.remove(from)) {
            json::set(event, to, content);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_view_has_its_conversion_and_comes_back_from_it() {
        for kind in leme_kinds::builtin() {
            let is_view = matches!(kind.storage, leme_kinds::Storage::As(..));
            assert_eq!(view(kind).is_some(), is_view, "{}", kind.plural);
        }
        assert_eq!(
            VIEWS.len(),
            VIEWS
                .iter()
                .filter(|view| leme_kinds::by_kind(view.served.0, view.served.1, view.served.2)
                    .is_some())
                .count()
        );
    }

    #[test]
    fn events_have_two_sets_of_names() {
        let served = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"},
            "eventTime": "2026-01-01T00:00:00.000000Z", "note": "n", "regarding": {"kind": "Pod"},
            "reportingController": "c", "deprecatedCount": 3, "series": {"count": 2},
            "deprecatedSource": {"component": "s"},
        });
        let mut event = served.clone();
        let view = view(leme_kinds::by_kind("events.k8s.io", "v1", "Event").unwrap()).unwrap();
        (view.to_kept)(&mut event).unwrap();
        assert_eq!(
            event,
            json!({
                "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
                "eventTime": "2026-01-01T00:00:00.000000Z", "message": "n",
                "involvedObject": {"kind": "Pod"}, "reportingComponent": "c", "count": 3,
                "series": {"count": 2}, "source": {"component": "s"},
            })
        );
        (view.to_served)(&mut event);
        assert_eq!(event, served);
    }
}
