//! A worker under load whose broker is stopped and killed: what a database committed arrives at a sink, in its order.

use std::time::Duration;

use testkit::broker::{End, Launch};

use crate::flow::{Flow, on_each_own_broker};

/// How soon changes arrive again once the broker is back.
const RECOVERY: Duration = Duration::from_secs(5);

/// A worker has some clients, and each may say that its connection is lost, and that it is back.
const LINES: usize = 12;

on_each_own_broker!(super::outage::changes_arrive);

fn changes_arrive(launch: impl Launch + 'static, settings: &str) {
    let mut flow = Flow::start(launch, settings);
    for how in [End::Stop, End::Kill, End::Kill] {
        let before = flow.warnings();
        flow.broker.end(how);
        std::thread::sleep(Duration::from_millis(1500));
        flow.broker.start_again();
        flow.arrived.goes_on(RECOVERY, &format!("after {how:?}"));
        // And what has piled up.
        flow.catches_up("caught up");
        let lines = flow.warnings().split_off(before.len());
        assert!(!lines.is_empty(), "an outage is told");
        assert!(lines.len() <= LINES, "{} lines about one outage: {lines:#?}", lines.len());
    }
    flow.ends_well();
}
