//! Where work goes.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::state::{State, Work};

/// The worker of each piece of work, computed from the state alone. Every worker of a group computes the same.
///
/// Each piece goes to the member that scores highest for it (rendezvous hashing), so that a member that comes or goes
/// moves only its own share.
pub fn assign(state: &State) -> BTreeMap<Work, String> {
    let best =
        |work: &Work| state.members.keys().max_by_key(|member| (score(member, work), *member)).cloned();
    wanted(state).filter_map(|work| Some((best(&work)?, work))).map(|(member, work)| (work, member)).collect()
}

/// All work there is to do: each connector, and its tasks once they are known.
fn wanted(state: &State) -> impl Iterator<Item = Work> + '_ {
    state.connectors.iter().flat_map(|(name, connector)| {
        let tasks = (0..connector.tasks.len() as u32)
            .map(|task| Work::Task(super::TaskId { connector: name.clone(), task }));
        std::iter::once(Work::Connector(name.clone())).chain(tasks)
    })
}

/// `DefaultHasher::new` has fixed keys; its algorithm may change with the compiler, so workers of one group are built
/// alike or a rolling update moves work once.
fn score(member: &str, work: &Work) -> u64 {
    let mut hasher = DefaultHasher::new();
    (member, work).hash(&mut hasher);
    hasher.finish()
}
