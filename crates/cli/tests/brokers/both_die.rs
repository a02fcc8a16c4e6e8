//! A worker under load and its broker are killed: at once, the one after the other, and the broker while the worker starts.

use std::time::Duration;

use testkit::broker::{End, Launch};

use crate::flow::{Flow, on_each_own_broker};

/// Between a death and the next: the clients are at different places then.
const MOMENTS: [u64; 4] = [350, 120, 700, 40];

on_each_own_broker!(super::both_die::changes_arrive);

fn changes_arrive(launch: impl Launch + 'static, settings: &str) {
    let mut flow = Flow::start(launch, settings);
    flow.worker.process.kill();
    flow.broker.end(End::Kill);
    flow.broker.start_again();
    flow.start_worker();
    flow.catches_up("both at once");
    for moment in MOMENTS.map(Duration::from_millis) {
        flow.broker.end(End::Kill);
        std::thread::sleep(moment);
        flow.worker.process.kill();
        flow.broker.start_again();
        // It may see a broker that is up, that goes, or that comes.
        let mut starting = flow.launch_worker();
        std::thread::sleep(moment);
        flow.broker.end(End::Kill);
        flow.broker.start_again();
        starting.kill();
        flow.start_worker();
        flow.catches_up(&format!("{} ms between", moment.as_millis()));
    }
    flow.ends_well();
}
