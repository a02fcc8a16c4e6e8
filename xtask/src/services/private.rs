//! Private server instances of tests (`testkit::services::PrivateServer`, `testkit::broker::PrivateBroker`), when the test was killed before it could end
//! them: each has a folder `target/services/private/PROCESS-NUMBER`, named after the process of the test.

use std::path::Path;

use super::process::Process;

/// Ends the servers whose test is gone, and removes their folders. Best effort: the next call tries again.
pub fn remove_orphans(folder: &Path) {
    let Ok(listing) = std::fs::read_dir(folder) else { return };
    for instance in listing.flatten() {
        let owner = owner(&instance.file_name().to_string_lossy());
        if owner.is_some_and(|owner| Process::of(owner).is_none()) {
            let path = instance.path();
            let ended = servers_on(&path).iter().all(|server| server.stop().is_ok());
            if ended {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
    }
}

fn owner(folder_name: &str) -> Option<i32> {
    folder_name.split_once('-')?.0.parse().ok()
}

/// The processes that were started with this instance's data folder, or whose environment names its folder.
fn servers_on(instance: &Path) -> Vec<Process> {
    let argument = format!("--datadir={}", instance.join("data").display());
    let owner = format!("OMS_TEST_INSTANCE={}", instance.display());
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let has = |words: &[u8], wanted: &str| {
                words.split(|byte| *byte == 0).any(|word| word == wanted.as_bytes())
            };
            has(&command, &argument) || has(&environment, &owner)
        })
        .filter_map(Process::of)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn the_folder_names_the_process_of_the_test() {
        assert_eq!(owner("4711-0"), Some(4711));
        assert_eq!(owner("lost+found"), None);
    }
}
