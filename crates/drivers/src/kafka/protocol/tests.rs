//! Answers that no broker gives: damaged ones, and those of whatever else listens there.

use proptest::prelude::*;

use super::super::wire::Reader;
use super::{fetch, groups, metadata, offsets, produce, sasl, topics, versions};

fn read_all(bytes: &[u8]) {
    let reader = || Reader::new(bytes);
    let _ = fetch::answer(bytes).map(|(_, fetched)| {
        for part in fetched {
            assert!(part.records.end <= bytes.len() && part.records.start <= part.records.end);
        }
    });
    let _ = groups::find_coordinator_answer(reader());
    let _ = groups::commit_answer(reader());
    let _ = groups::fetch_answer(reader());
    let _ = metadata::answer(reader());
    let _ = offsets::answer(reader());
    let _ = produce::init_producer_id_answer(reader());
    let _ = produce::answer(reader(), |_, _, _, _| {});
    let _ = sasl::handshake_answer(reader());
    let _ = sasl::authenticate_answer(reader());
    let _ = topics::create_answer(reader());
    let _ = topics::delete_answer(reader());
    let _ = topics::delete_records_answer(reader());
    let _ = topics::describe_configs_answer(reader());
    let _ = versions::answer(reader());
    let _ = versions::flexible_answer(reader());
}

/// Numbers as they stand in answers: mostly small, so that what comes behind them is reached.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..4_i32).prop_map(|number| number.to_be_bytes().to_vec()),
        3 => (0..4_i16).prop_map(|number| number.to_be_bytes().to_vec()),
        2 => any::<i64>().prop_map(|number| number.to_be_bytes().to_vec()),
        1 => any::<i32>().prop_map(|number| number.to_be_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..5),
        1 => "[a-z]{0,4}".prop_map(|text| {
            let mut out = (text.len() as i16).to_be_bytes().to_vec();
            out.extend(text.as_bytes());
            out
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_answer_makes_it_panic(pieces in proptest::collection::vec(piece(), 0..40)) {
        read_all(&pieces.concat());
    }
}
