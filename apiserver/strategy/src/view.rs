//! Kinds that are views: how their objects become those of the kind as which they are kept, and back.
//!
//! Knows: which kinds are views, and both directions of each. Refuses to know: when a conversion is due.

use leme_kinds::Kind;
use leme_registry::json;
use serde_json::Value;

use crate::authorization::convert;
use crate::{OLDER_RBAC, autoscaling, endpoint_slice_beta, pod_disruption_budget, project};

/// Which objects of a view somebody sees who may list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// All.
    All,
    /// Their own.
    Own {
        /// Names whose one is.
        field: &'static str,
        /// How the names of those begin that are shown.
        prefix: &'static str,
    },
    /// Those of which they may get what is kept.
    Gettable,
}

/// How objects of a kind are kept as those of another.
#[derive(Debug)]
pub struct View {
    /// Group, version and kind that are served.
    served: (&'static str, &'static str, &'static str),
    /// Gives what a client has sent the fields of the version that is kept, of which the types are.
    pub sent: fn(&mut Value),
    /// Makes of an object as it is served one as it is kept; the error says why there is none.
    pub to_kept: fn(&mut Value) -> Result<(), String>,
    /// Makes of an object as it is kept one as it is served.
    pub to_served: fn(&mut Value),
    /// Selectable fields by the names they are served and kept under, where these differ.
    pub fields: &'static [(&'static str, &'static str)],
    /// Which of the objects somebody sees who may list them.
    pub seen: Seen,
    /// What clients are told of a version that is on its way out.
    pub deprecated: &'static str,
}

impl View {
    /// A view whose objects differ in their version alone.
    const fn of(served: (&'static str, &'static str, &'static str)) -> View {
        View {
            served,
            sent: |_| {},
            to_kept: |_| Ok(()),
            to_served: |_| {},
            fields: &[],
            seen: Seen::All,
            deprecated: "",
        }
    }
}

const VIEWS: &[View] = &[
    rbac("ClusterRole"),
    rbac("ClusterRoleBinding"),
    rbac("Role"),
    rbac("RoleBinding"),
    View {
        to_kept: |scaler| {
            autoscaling::convert::to_v2(scaler);
            Ok(())
        },
        to_served: autoscaling::convert::to_v1,
        ..View::of(("autoscaling", "v1", "HorizontalPodAutoscaler"))
    },
    View {
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
        ..View::of(("events.k8s.io", "v1", "Event"))
    },
    View {
        to_kept: |project| {
            project::to_namespace(project);
            Ok(())
        },
        to_served: project::from_namespace,
        seen: Seen::Gettable,
        ..View::of(("project.openshift.io", "v1", "Project"))
    },
    View {
        to_served: |token| json::set(token, "kind", "UserOAuthAccessToken"),
        // By any other name a token is what lets in.
        seen: Seen::Own { field: "userName", prefix: "sha256~" },
        ..View::of(("oauth.openshift.io", "v1", "UserOAuthAccessToken"))
    },
    View {
        to_kept: |cron_job| {
            json::set(cron_job, "apiVersion", "batch/v1");
            Ok(())
        },
        to_served: |cron_job| json::set(cron_job, "apiVersion", "batch/v1beta1"),
        deprecated: "batch/v1beta1 CronJob is deprecated in v1.21+, unavailable in v1.25+; use batch/v1 CronJob",
        ..View::of(("batch", "v1beta1", "CronJob"))
    },
    View {
        sent: endpoint_slice_beta::sent,
        to_kept: |slice| {
            endpoint_slice_beta::from_beta(slice);
            Ok(())
        },
        to_served: endpoint_slice_beta::to_beta,
        deprecated: "discovery.k8s.io/v1beta1 EndpointSlice is deprecated in v1.21+, unavailable in v1.25+; use discovery.k8s.io/v1 EndpointSlice",
        ..View::of(("discovery.k8s.io", "v1beta1", "EndpointSlice"))
    },
    View {
        to_kept: |budget| {
            pod_disruption_budget::from_beta(budget);
            Ok(())
        },
        to_served: pod_disruption_budget::to_beta,
        deprecated: "policy/v1beta1 PodDisruptionBudget is deprecated in v1.21+, unavailable in v1.25+; use policy/v1 PodDisruptionBudget",
        ..View::of(("policy", "v1beta1", "PodDisruptionBudget"))
    },
];

const fn rbac(kind: &'static str) -> View {
    View {
        to_kept: convert::to_rbac,
        to_served: convert::from_rbac,
        ..View::of((OLDER_RBAC, "v1", kind))
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

    fn with_older() -> std::sync::Arc<leme_kinds::Kinds> {
        let versions =
            ["batch/v1beta1", "discovery.k8s.io/v1beta1", "policy/v1beta1"].map(str::to_owned);
        leme_kinds::Kinds::with_older(&versions).unwrap()
    }

    // Red with selectors as they are: an empty one was of no pod, and is of all.
    #[test]
    fn an_empty_selector_of_the_beta_is_of_no_pod() {
        let kinds = with_older();
        let kind = kinds.by_kind("policy", "v1beta1", "PodDisruptionBudget").unwrap();
        let view = view(kind).unwrap();
        let key = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";
        let by =
            |operator: &str| json!({ "matchExpressions": [{ "key": key, "operator": operator }] });
        let budget = |version: &str, selector: &Value| json!({ "apiVersion": version, "spec": { "selector": selector } });
        for (served, kept) in [
            (json!({}), by("Exists")),
            (by("DoesNotExist"), json!({})),
            (json!({ "matchLabels": { "a": "b" } }), json!({ "matchLabels": { "a": "b" } })),
        ] {
            let before = budget("policy/v1beta1", &served);
            let mut one = before.clone();
            (view.to_kept)(&mut one).unwrap();
            assert_eq!(one, budget("policy/v1", &kept));
            (view.to_served)(&mut one);
            assert_eq!(one, before);
        }
    }

    #[test]
    fn every_view_has_its_conversion_and_comes_back_from_it() {
        let kinds = with_older();
        for kind in kinds.iter() {
            let is_view = matches!(kind.storage, leme_kinds::Storage::As(..));
            assert_eq!(view(kind).is_some(), is_view, "{}", kind.plural);
        }
        let of_a_kind =
            |view: &&View| kinds.by_kind(view.served.0, view.served.1, view.served.2).is_some();
        assert_eq!(VIEWS.iter().filter(of_a_kind).count(), VIEWS.len());
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
