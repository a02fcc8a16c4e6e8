//! The embedded driver: the conformance suite, and what is its own.

mod damage;
mod disk_full;
mod fixture;
mod formats;
mod kill;
mod many;
mod owner;
mod retention;

mod conformance {
    use crate::fixture::Folder;

    testkit::driver_suite!(Folder::new());
}
