//! Debian packages: installed into the system, or unpacked beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use super::files;
use crate::{Result, run};

mod sources;

/// Installs packages of the system's own release, as root or with sudo.
pub fn install(packages: &[&str]) -> Result<()> {
    println!("installing {} with apt-get", packages.join(" "));
    let first = apt_get(&["install", "--yes", "--no-install-recommends"], packages);
    if first.is_ok() {
        return Ok(());
    }
    // A fresh machine or an old list of packages: refresh it and try once more.
    apt_get(&["update"], &[])
        .and_then(|()| apt_get(&["install", "--yes", "--no-install-recommends"], packages))
        .map_err(|error| format!("cannot install {}: {error}", packages.join(" ")))
}

fn apt_get(arguments: &[&str], packages: &[&str]) -> Result<()> {
    let mut command = if geteuid().is_root() {
        Command::new("apt-get")
    } else {
        let sudo = run::find_program("sudo").ok_or("not root, and there is no sudo: install it as root")?;
        let mut command = Command::new(sudo);
        command.args(["--non-interactive", "apt-get"]);
        command
    };
    command.args(arguments).args(packages).env("DEBIAN_FRONTEND", "noninteractive");
    run::output(&mut command).map(|_| ())
}

/// Packages of another release of Debian, downloaded with everything that they need and unpacked into a folder of their
/// own. Nothing of the system changes: apt gets a list of sources, a state and a cache of its own.
pub struct Beside<'a> {
    pub suite: &'a str,
    pub packages: &'a [&'a str],
    /// Which packages of the closure are unpacked: names that begin with one of these.
    pub wanted: &'a [&'a str],
}

impl Beside<'_> {
    /// Returns the root of the unpacked tree; does nothing when it is there already.
    pub fn unpack(&self, dist: &Path) -> Result<PathBuf> {
        let root = dist.join("root");
        if root.exists() {
            return Ok(root);
        }
        println!(
            "downloading {} of Debian {} into {}",
            self.packages.join(" and "),
            self.suite,
            dist.display()
        );
        let apt = self.own_apt(dist)?;
        apt.get(&["update"], dist)?;
        let closure = run::output(apt.command("apt-cache").args(DEPENDS).args(self.packages))?;
        let packages = packages_in(&closure, self.wanted);
        let debs = dist.join("debs");
        files::remove_folder(&debs)?;
        files::make_folder(&debs)?;
        let names: Vec<&str> = packages.iter().map(String::as_str).collect();
        apt.get(&[&["download"], &names[..]].concat(), &debs)?;
        unpack_all(&debs, &dist.join("root.new"))?;
        // Renamed when it is whole, so that an interrupted one is not taken for it.
        std::fs::rename(dist.join("root.new"), &root)
            .map_err(|error| format!("cannot write {}: {error}", root.display()))?;
        Ok(root)
    }

    fn own_apt(&self, dist: &Path) -> Result<OwnApt> {
        let folder = dist.join("apt");
        files::make_folder(&folder.join("lists/partial"))?;
        files::make_folder(&folder.join("cache/archives/partial"))?;
        let mirror = sources::debian_mirror(&sources::of_the_system()).ok_or(
            "no Debian archive among the sources of apt on this machine, so this server cannot be downloaded; \
             name one that is running already in its OMS_TEST_ variable",
        )?;
        files::write(&folder.join("sources.list"), &mirror.line(self.suite))?;
        Ok(OwnApt { folder })
    }
}

const DEPENDS: [&str; 8] = [
    "depends",
    "--recurse",
    "--no-recommends",
    "--no-suggests",
    "--no-conflicts",
    "--no-breaks",
    "--no-replaces",
    "--no-enhances",
];

struct OwnApt {
    folder: PathBuf,
}

impl OwnApt {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let folder = self.folder.display();
        for option in [
            format!("Dir::State::Lists={folder}/lists"),
            format!("Dir::Etc::SourceList={folder}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".into(),
            format!("Dir::Cache={folder}/cache"),
            // Its unprivileged download user may not be able to enter the checkout.
            "APT::Sandbox::User=root".into(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }

    fn get(&self, arguments: &[&str], folder: &Path) -> Result<()> {
        run::output(self.command("apt-get").args(arguments).current_dir(folder)).map(|_| ())
    }
}

fn unpack_all(debs: &Path, root: &Path) -> Result<()> {
    files::remove_folder(root)?;
    files::make_folder(root)?;
    let listing =
        std::fs::read_dir(debs).map_err(|error| format!("cannot read {}: {error}", debs.display()))?;
    for deb in listing.flatten() {
        run::output(Command::new("dpkg").arg("-x").arg(deb.path()).arg(root))?;
    }
    Ok(())
}

/// Package names in the output of `apt-cache depends --recurse`: the lines that are not indented. Names in angle
/// brackets are virtual.
fn packages_in(closure: &str, wanted: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = closure
        .lines()
        .filter(|line| wanted.iter().any(|prefix| line.starts_with(prefix)))
        .map(str::to_string)
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closure_is_the_lines_that_are_not_indented() {
        let text =
            "mysql-server-core\n  Depends: libc6\n |Depends: debconf\nlibc6\n<libvirtual>\nperl\nlibc6\n";
        assert_eq!(packages_in(text, &["lib", "mysql-"]), ["libc6", "mysql-server-core"]);
    }
}
