//! The fold: one entry onto the state. Pure, without a clock, the same on every worker.

use super::assign::assign;
use super::entry::{Entry, RestartScope, TargetState};
use super::state::{ConnectorState, Member, Placed, RunState, State, Status, Work};

/// The state after `entry`, which stands at `offset` in the log. An entry that was overtaken (a configuration made from
/// an old version, a report under an old epoch: invariant 4) changes nothing.
pub fn apply(mut state: State, entry: Entry, offset: u64) -> State {
    if offset < state.next {
        return state;
    }
    match entry {
        Entry::Heartbeat { worker, url, at } => {
            state.members.insert(worker, Member { url, heartbeat: at, seen: offset });
        }
        Entry::WorkerLeft { worker } => {
            state.members.remove(&worker);
        }
        Entry::PutConnector { name, kind, config, replaces, target } => {
            let current = state.connectors.get(&name);
            let version = current.map_or(0, |connector| connector.version);
            if replaces.is_none_or(|replaces| replaces == version) {
                let target = target.or(current.map(|connector| connector.target)).unwrap_or_default();
                let (tasks, tasks_version) =
                    current.map(|c| (c.tasks.clone(), c.tasks_version)).unwrap_or_default();
                let connector =
                    ConnectorState { kind, config, version: offset, target, tasks, tasks_version };
                state.connectors.insert(name.clone(), connector);
                renew(&mut state, &Work::Connector(name), offset);
            }
        }
        Entry::DeleteConnector { name } => {
            state.connectors.remove(&name);
        }
        Entry::SetTarget { name, target } => set_target(&mut state, &name, target, offset),
        Entry::TaskConfigs { name, version, configs } => {
            if let Some(connector) = state.connectors.get_mut(&name).filter(|c| c.version == version) {
                connector.tasks = configs;
                connector.tasks_version = version;
                renew_tasks(&mut state, &name, offset);
            }
        }
        Entry::Restart { name, scope } => restart(&mut state, &name, scope, offset),
        Entry::Report { work, epoch, worker, status } => {
            if let Some(placed) = state.work.get_mut(&work).filter(|p| p.epoch == epoch && p.worker == worker)
            {
                placed.status = status;
            }
        }
        Entry::Snapshot { .. } => {}
    }
    place(&mut state, offset);
    state.next = offset + 1;
    state
}

/// Puts all work where `assign` says; what moved gets a new epoch, what is gone is forgotten.
fn place(state: &mut State, offset: u64) {
    let assigned = assign(state);
    state.work.retain(|work, _| assigned.contains_key(work));
    for (work, worker) in assigned {
        match state.work.get_mut(&work) {
            Some(placed) if placed.worker == worker => {}
            _ => {
                let status = Status::default();
                state.work.insert(work, Placed { worker, epoch: offset, status });
            }
        }
    }
}

fn renew(state: &mut State, work: &Work, offset: u64) {
    if let Some(placed) = state.work.get_mut(work) {
        placed.epoch = offset;
        placed.status = Status::default();
    }
}

fn renew_tasks(state: &mut State, name: &str, offset: u64) {
    for (work, placed) in &mut state.work {
        if matches!(work, Work::Task(id) if id.connector == name) {
            placed.epoch = offset;
            placed.status = Status::default();
        }
    }
}

/// STOPPED takes the tasks away; they come back once the connector is started and has split itself again.
fn set_target(state: &mut State, name: &str, target: TargetState, offset: u64) {
    let Some(connector) = state.connectors.get_mut(name) else { return };
    let was = std::mem::replace(&mut connector.target, target);
    if target == TargetState::Stopped && was != target {
        connector.tasks.clear();
        connector.tasks_version = 0;
    }
    let split = connector.tasks_version == connector.version;
    if was != TargetState::Started && target == TargetState::Started && !split {
        renew(state, &Work::Connector(name.to_owned()), offset);
    }
}

/// Starts again what the scope names; PAUSED and STOPPED work stays what it is.
fn restart(state: &mut State, name: &str, scope: RestartScope, offset: u64) {
    let Some(connector) = state.connectors.get(name) else { return };
    if connector.target != TargetState::Started {
        return;
    }
    for (work, placed) in &mut state.work {
        let named = match work {
            Work::Connector(connector) => scope.connector && connector == name,
            Work::Task(id) => id.connector == name && (scope.tasks || scope.task == Some(id.task)),
        };
        if named && (!scope.only_failed || placed.status.state == RunState::Failed) {
            placed.epoch = offset;
            placed.status = Status { state: RunState::Restarting, trace: placed.status.trace.take() };
        }
    }
}

#[cfg(test)]
mod tests;
