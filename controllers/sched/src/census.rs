//! How many pods of which kind are on each node, kept for every question that has been asked.
//!
//! Invariant: the answer to a question is what counting the placed pods would give. Pods of one namespace with the same
//! labels are counted as one class, so that a new question looks at classes, not at pods.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use leme_plan::common::Labels;

use crate::pod::PodInfo;
use crate::selector::{Namespaces, Term, Who};

/// How many there are by node.
pub(crate) type PerNode = BTreeMap<usize, i32>;

/// Pods that no selector tells apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    pub(crate) namespace: String,
    pub(crate) labels: Labels,
    /// Whether they are being deleted.
    pub(crate) deleting: bool,
}

/// A question: pods that are all of these, and perhaps only those that are not being deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) all: Vec<Who>,
    pub(crate) staying: bool,
}

impl Question {
    /// Whether pods of a class are meant.
    pub(crate) fn means(&self, class: &Class, namespaces: &Namespaces) -> bool {
        !(self.staying && class.deleting)
            && self.all.iter().all(|who| who.is(&class.namespace, &class.labels, namespaces))
    }

    fn looks_at_namespaces(&self) -> bool {
        self.all.iter().any(|who| who.of_namespaces.is_some())
    }
}

#[derive(Debug, Default)]
struct Counted {
    nodes: PerNode,
    /// The questions that mean it.
    questions: Vec<Arc<Question>>,
}

#[derive(Debug, Default)]
struct Answer {
    nodes: PerNode,
    /// When it was last asked for.
    used: u64,
}

/// More questions than that are not kept: the ones that were asked least recently go.
const MOST: usize = 4096;

/// The classes and the questions.
#[derive(Debug, Default)]
pub(crate) struct Census {
    classes: HashMap<Arc<Class>, Counted>,
    answers: HashMap<Arc<Question>, Answer>,
    asked: u64,
}

fn add(nodes: &mut PerNode, node: usize, by: i32) {
    let count = nodes.entry(node).or_default();
    *count += by;
    if *count == 0 {
        nodes.remove(&node);
    }
}

impl Census {
    /// The class that is the same as this, as others have it.
    pub(crate) fn known(&self, class: &Arc<Class>) -> Arc<Class> {
        self.classes.get_key_value(class).map_or(class, |(known, _)| known).clone()
    }

    /// Counts a pod on a node, or no longer.
    pub(crate) fn count(
        &mut self,
        class: &Arc<Class>,
        node: usize,
        by: i32,
        namespaces: &Namespaces,
    ) {
        let counted = self.classes.entry(class.clone()).or_insert_with(|| {
            let questions = self.answers.keys();
            let meant = questions.filter(|question| question.means(class, namespaces));
            Counted { questions: meant.cloned().collect(), ..Counted::default() }
        });
        add(&mut counted.nodes, node, by);
        for question in &counted.questions {
            if let Some(answer) = self.answers.get_mut(question) {
                add(&mut answer.nodes, node, by);
            }
        }
        if counted.nodes.is_empty() {
            self.classes.remove(class);
        }
    }

    /// How many pods are meant, by node.
    pub(crate) fn ask(&mut self, question: Question, namespaces: &Namespaces) -> &PerNode {
        self.asked += 1;
        if !self.answers.contains_key(&question) {
            self.trim();
            let question = Arc::new(question.clone());
            let mut answer = Answer::default();
            for (class, counted) in &mut self.classes {
                if question.means(class, namespaces) {
                    counted.questions.push(question.clone());
                    counted.nodes.iter().for_each(|(node, by)| add(&mut answer.nodes, *node, *by));
                }
            }
            self.answers.insert(question, answer);
        }
        let answer = self.answers.entry(Arc::new(question)).or_default();
        answer.used = self.asked;
        &answer.nodes
    }

    /// Forgets the answers that hang on the labels of namespaces, since these have changed.
    pub(crate) fn namespaces_changed(&mut self) {
        self.forget(|question, _| question.looks_at_namespaces());
    }

    fn trim(&mut self) {
        if self.answers.len() >= MOST {
            let since = self.asked.saturating_sub(MOST as u64 / 2);
            self.forget(|_, answer| answer.used < since);
        }
    }

    fn forget(&mut self, goes: impl Fn(&Question, &Answer) -> bool) {
        self.answers.retain(|question, answer| !goes(question, answer));
        let answers = &self.answers;
        for counted in self.classes.values_mut() {
            counted.questions.retain(|question| answers.contains_key(question));
        }
    }
}

/// What a term of a placed pod does to pods that it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pull {
    /// They must not come near.
    Repels,
    /// They are what the pod must be near to.
    Needs,
    /// They are liked or disliked so much.
    Likes(i32),
}

type Carried = (Pull, Term);

/// The terms of the placed pods, and on which nodes there are pods that have them.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    terms: HashMap<Arc<Carried>, PerNode>,
    /// The terms that mean only pods with a certain label.
    by_pair: HashMap<(String, String), Vec<Arc<Carried>>>,
    /// All others.
    others: Vec<Arc<Carried>>,
}

impl Terms {
    /// Counts the terms of a pod on a node, or no longer.
    pub(crate) fn count(&mut self, pod: &PodInfo, node: usize, by: i32) {
        for carried in pod.pulls() {
            self.count_one(carried, node, by);
        }
    }

    fn count_one(&mut self, carried: Carried, node: usize, by: i32) {
        if let Some(nodes) = self.terms.get_mut(&carried) {
            add(nodes, node, by);
            if nodes.is_empty() {
                self.terms.remove(&carried);
                let pair = carried.1.who.pods.pair();
                match pair {
                    Some(pair) => {
                        if let Some(list) = self.by_pair.get_mut(&pair) {
                            list.retain(|one| **one != carried);
                            if list.is_empty() {
                                self.by_pair.remove(&pair);
                            }
                        }
                    }
                    None => self.others.retain(|one| **one != carried),
                }
            }
            return;
        }
        let carried = Arc::new(carried);
        match carried.1.who.pods.pair() {
            Some(pair) => self.by_pair.entry(pair).or_default().push(carried.clone()),
            None => self.others.push(carried.clone()),
        }
        self.terms.insert(carried, PerNode::from([(node, by)]));
    }

    /// Whether no placed pod has a term.
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The terms that mean a pod of this class, and where they are.
    pub(crate) fn about(
        &self,
        class: &Class,
        namespaces: &Namespaces,
    ) -> Vec<(&Carried, &PerNode)> {
        let pairs = class
            .labels
            .iter()
            .filter_map(|(key, value)| self.by_pair.get(&(key.clone(), value.clone())));
        let candidates = pairs.flatten().chain(&self.others);
        let meant = candidates
            .filter(|carried| carried.1.who.is(&class.namespace, &class.labels, namespaces));
        meant.filter_map(|carried| Some((&**carried, self.terms.get(carried)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::Selector;

    fn class(namespace: &str, labels: &[(&str, &str)]) -> Arc<Class> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Arc::new(Class {
            namespace: namespace.to_owned(),
            labels: labels.collect(),
            deleting: false,
        })
    }

    fn about(labels: &[(&str, &str)], staying: bool) -> Question {
        let pods = Selector::pairs(&class("", labels).labels);
        Question { all: vec![Who::within("n", pods)], staying }
    }

    #[test]
    fn answers_follow_what_is_placed_before_and_after_the_question() {
        let (mut census, names) = (Census::default(), Namespaces::new());
        let web = class("n", &[("app", "web"), ("hash", "1")]);
        census.count(&web, 3, 1, &names);
        census.count(&class("other", &[("app", "web")]), 3, 1, &names);
        let question = about(&[("app", "web")], true);
        assert_eq!(*census.ask(question.clone(), &names), PerNode::from([(3, 1)]));
        census.count(&web, 3, 1, &names);
        census.count(&class("n", &[("app", "web"), ("hash", "2")]), 5, 1, &names);
        assert_eq!(*census.ask(question.clone(), &names), PerNode::from([(3, 2), (5, 1)]));
        let leaving = Arc::new(Class { deleting: true, ..(*web).clone() });
        census.count(&web, 3, -1, &names);
        census.count(&leaving, 3, 1, &names);
        assert_eq!(*census.ask(question, &names), PerNode::from([(3, 1), (5, 1)]));
        assert_eq!(
            *census.ask(about(&[("app", "web")], false), &names),
            PerNode::from([(3, 2), (5, 1)])
        );
        census.count(&web, 3, -1, &names);
        assert!(!census.classes.contains_key(&web), "a class without pods is forgotten");
    }

    /// Red when every selector that was ever asked about is kept.
    #[test]
    fn questions_do_not_pile_up() {
        let (mut census, names) = (Census::default(), Namespaces::new());
        let web = class("n", &[("app", "web")]);
        census.count(&web, 0, 1, &names);
        for round in 0..3 * MOST {
            census.ask(about(&[("app", &round.to_string())], true), &names);
            census.ask(about(&[("app", "web")], true), &names);
        }
        assert!(census.answers.len() <= MOST + 1);
        census.count(&web, 0, 1, &names);
        assert_eq!(*census.ask(about(&[("app", "web")], true), &names), PerNode::from([(0, 2)]));
    }
}
