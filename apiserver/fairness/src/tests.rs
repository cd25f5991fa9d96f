//! Levels and flows over the queues, with time that only tests let pass.

use serde_json::json;

use super::*;

fn schema(name: &str, level: &str, group: &str, precedence: i64) -> Value {
    json!({"metadata": {"name": name, "uid": format!("schema-{name}")}, "spec": {
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence,
        "distinguisherMethod": {"type": "ByUser"}, "rules": [{
            "subjects": [{"kind": "Group", "group": {"name": group}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}]}]}})
}

fn level(name: &str, shares: u32, lends: u32, queues: Option<u32>) -> Value {
    let response = match queues {
        Some(queues) => {
            json!({"type": "Queue", "queuing": {"queues": queues, "handSize": 1, "queueLengthLimit": 3}})
        }
        None => json!({"type": "Reject"}),
    };
    json!({"metadata": {"name": name, "uid": format!("level-{name}")}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": shares, "lendablePercent": lends, "limitResponse": response}}})
}

fn exempt() -> Value {
    json!({"metadata": {"name": "exempt"}, "spec": {"type": "Exempt"}})
}

fn who(user: &str, group: &str) -> Identity {
    Identity::of_certificate(user, [group.to_owned()])
}

fn list() -> Attributes {
    Attributes { verb: "list".into(), resource: "pods".into(), ..Attributes::default() }
}

async fn enter(fairness: &Arc<Fairness>, user: &str, group: &str) -> Result<Seat, Refused> {
    fairness.enter(&who(user, group), &list(), |_| 1).await.map_err(|(why, _)| why)
}

/// Two seats for `low`, two for `high`, of which it lends one.
fn two_levels() -> Arc<Fairness> {
    let fairness = Fairness::new(4);
    let schemas = [
        schema("low", "low", "low", 20),
        schema("high", "high", "high", 10),
        schema("free", "exempt", "free", 1),
    ];
    fairness
        .set(&schemas, &[level("low", 10, 0, Some(1)), level("high", 10, 50, Some(1)), exempt()]);
    fairness
}

#[tokio::test(start_paused = true)]
async fn each_level_has_its_share_and_borrows_what_others_lend() {
    let fairness = two_levels();
    let mut low = Vec::new();
    for _ in 0..3 {
        low.push(enter(&fairness, "jo", "low").await.ok().unwrap());
    }
    assert_eq!(low[0].of(), &Of { schema: "schema-low".into(), level: "level-low".into() });
    // The last seat is not lent; but its own level has both of its own at once.
    let fourth = tokio::spawn({
        let fairness = Arc::clone(&fairness);
        async move { enter(&fairness, "jo", "low").await }
    });
    tokio::task::yield_now().await;
    assert!(!fourth.is_finished());
    let high = [
        enter(&fairness, "ed", "high").await.ok().unwrap(),
        enter(&fairness, "ed", "high").await.ok().unwrap(),
    ];
    let shown = fairness.shown();
    let of = |name: &str| shown.iter().find(|level| level.name == name).unwrap().clone();
    assert_eq!((of("low").seats, of("low").waiting, of("high").seats), (3, 1, 2));
    // Who is exempt waits for nobody.
    for _ in 0..20 {
        enter(&fairness, "root", "free").await.ok().unwrap();
    }
    // What was borrowed is not borrowed again while its lender needs it.
    drop(low.pop());
    tokio::task::yield_now().await;
    assert!(!fourth.is_finished());
    drop(low.pop());
    assert!(fourth.await.unwrap().is_ok());
    drop((low, high));
    assert!(
        fairness
            .shown()
            .iter()
            .all(|level| (level.seats, level.running, level.waiting) == (0, 0, 0))
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_too_long_or_behind_too_many_is_refused() {
    let fairness = Fairness::new(1);
    fairness.set(
        &[schema("s", "queue", "q", 1), schema("r", "reject", "r", 2)],
        &[level("queue", 10, 0, Some(1)), level("reject", 10, 0, None)],
    );
    let held = enter(&fairness, "jo", "q").await.ok().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let fairness = Arc::clone(&fairness);
        waiting.push(tokio::spawn(async move { enter(&fairness, "jo", "q").await.map(drop) }));
        tokio::task::yield_now().await;
    }
    assert_eq!(enter(&fairness, "jo", "q").await.err(), Some(Refused::QueueFull));
    // One that goes away makes room.
    waiting.pop().unwrap().abort();
    tokio::task::yield_now().await;
    let fairness_too = Arc::clone(&fairness);
    waiting.push(tokio::spawn(async move { enter(&fairness_too, "jo", "q").await.map(drop) }));
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap(), Err(Refused::TimeOut));
    }
    let rejecting = enter(&fairness, "ed", "r").await.ok().unwrap();
    assert_eq!(enter(&fairness, "ed", "r").await.err(), Some(Refused::ConcurrencyLimit));
    drop((held, rejecting));
    assert!(enter(&fairness, "ed", "r").await.is_ok());
    let shown = fairness.shown();
    assert_eq!((shown[0].counts.queue_full, shown[0].counts.timed_out), (1, 3));
    assert_eq!(shown[1].counts.without_seat, 1);
}

/// Red when a seat is lost with whoever has gone away: nobody would ever get it again.
#[tokio::test(start_paused = true)]
async fn a_turn_that_comes_to_nobody_is_given_back() {
    let fairness = Fairness::new(1);
    fairness.set(&[schema("s", "queue", "q", 1)], &[level("queue", 10, 0, Some(1))]);
    for _ in 0..100 {
        let held = enter(&fairness, "jo", "q").await.ok().unwrap();
        let (other, third) = (Arc::clone(&fairness), Arc::clone(&fairness));
        let gone = tokio::spawn(async move { enter(&other, "jo", "q").await.map(drop) });
        let stays = tokio::spawn(async move { enter(&third, "jo", "q").await.map(drop) });
        tokio::task::yield_now().await;
        // Its turn is sent, and it is gone before it looks.
        drop(held);
        gone.abort();
        assert!(stays.await.unwrap().is_ok());
    }
    assert_eq!(fairness.shown()[0].seats, 0);
}

#[tokio::test(start_paused = true)]
async fn levels_change_under_those_that_wait() {
    let fairness = Fairness::new(1);
    let schemas = [schema("s", "queue", "q", 1)];
    fairness.set(&schemas, &[level("queue", 10, 0, Some(1))]);
    let held = enter(&fairness, "jo", "q").await.ok().unwrap();
    let waits = |fairness: &Arc<Fairness>| {
        let fairness = Arc::clone(fairness);
        tokio::spawn(async move { enter(&fairness, "jo", "q").await.map(drop) })
    };
    let first = waits(&fairness);
    tokio::task::yield_now().await;
    // Other queues: whoever waits in the old ones has a turn all the same.
    fairness.set(&schemas, &[level("queue", 10, 0, Some(2))]);
    let second = waits(&fairness);
    assert!(second.await.unwrap().is_ok(), "the new level has its own seat");
    drop(held);
    assert!(first.await.unwrap().is_ok());
    // Without a level nothing is sorted.
    fairness.set(&[], &[]);
    assert_eq!(enter(&fairness, "jo", "q").await.ok().unwrap().of(), &Of::default());
}

#[tokio::test(start_paused = true)]
async fn wide_requests_take_more_but_never_all_for_ever() {
    let fairness = Fairness::new(100);
    fairness.set(&[schema("s", "queue", "q", 1)], &[level("queue", 10, 0, Some(1))]);
    let wide = |most: u32| most.min(50);
    let seat = fairness.enter(&who("jo", "q"), &list(), wide).await.ok().unwrap();
    assert_eq!(fairness.shown()[0].seats, 10);
    // The level shrinks below what waits: that runs alone.
    let other = Arc::clone(&fairness);
    let mut seats = vec![seat];
    for _ in 0..9 {
        seats.push(fairness.enter(&who("jo", "q"), &list(), wide).await.ok().unwrap());
    }
    let waits =
        tokio::spawn(
            async move { other.enter(&who("jo", "q"), &list(), |most| most).await.is_ok() },
        );
    tokio::task::yield_now().await;
    fairness.set(
        &[schema("s", "queue", "q", 1), schema("t", "more", "t", 2)],
        &[level("queue", 1, 0, Some(1)), level("more", 99, 0, None)],
    );
    drop(seats);
    assert!(waits.await.unwrap());
}
