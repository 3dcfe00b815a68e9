//! Finds `initdb` and `postgres` on this machine.

use std::ffi::OsStr;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::error::ServerError;
use super::process::Launcher;

/// The major versions that Dropwire works with.
pub(super) const MAJORS: RangeInclusive<u32> = 14..=18;

/// The well-known places: below which directory, and what stands before the major version in `<major>/bin`.
const PLACES: [(&str, &str); 6] = [
    ("usr/lib/postgresql", ""),
    ("usr", "pgsql-"),
    ("opt/homebrew/opt", "postgresql@"),
    ("usr/local/opt", "postgresql@"),
    ("home/linuxbrew/.linuxbrew/opt", "postgresql@"),
    ("Applications/Postgres.app/Contents/Versions", ""),
];

/// A directory with PostgreSQL's programs that were seen to run.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
    pub(super) major: u32,
    /// As `postgres --version` says it, without the name.
    pub(super) version: String,
}

impl Binaries {
    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }
}

/// Where to look.
#[derive(Debug)]
pub(super) struct Search<'a> {
    /// The directory the operator named: then the only place.
    pub(super) explicit: Option<&'a Path>,
    /// The value of `PATH`.
    pub(super) path: Option<&'a OsStr>,
    /// The root of the file system; another one in tests.
    pub(super) root: &'a Path,
    /// The major version of an existing cluster: taken wherever it is, before any other.
    pub(super) major: Option<u32>,
}

/// What a directory turned out to be.
enum Inspection {
    /// It has no such programs.
    Absent,
    /// It has them, but they do not work; why.
    Broken(String),
    Found(Binaries),
}

/// Returns the first usable directory: of the wanted major if there is one, else of any supported one.
///
/// The order is the explicit directory, `PATH`, `pg_config --bindir`, Debian, the PostgreSQL project's RPMs,
/// Homebrew, Postgres.app; newest first where a place has several. Nothing is written.
pub(super) async fn find(search: &Search<'_>, launcher: &Launcher) -> Result<Binaries, ServerError> {
    let mut hunt = Hunt {
        major: search.major,
        launcher,
        searched: Vec::new(),
        other_major: None,
        unsupported: None,
    };
    if let Some(directory) = search.explicit {
        let label = format!("{} (the given directory)", directory.display());
        let found = hunt.look(label, &[directory.to_owned()]).await;
        return found.map_or_else(|| hunt.give_up(), Ok);
    }
    let path: Vec<PathBuf> = search.path.map_or_else(Vec::new, |path| {
        std::env::split_paths(path)
            .filter(|directory| directory.is_absolute())
            .collect()
    });
    let label = format!("PATH ({})", search.path.unwrap_or_default().to_string_lossy());
    if let Some(found) = hunt.look(label, &path).await {
        return Ok(found);
    }
    let from_config = pg_config(&path, launcher).await;
    if let Some(found) = hunt
        .look("pg_config --bindir".to_owned(), from_config.as_slice())
        .await
    {
        return Ok(found);
    }
    for (parent, prefix) in PLACES {
        let parent = search.root.join(parent);
        let label = format!("{}/{prefix}<major>/bin", parent.display());
        let versions: Vec<_> = numbered(&parent, prefix)
            .iter()
            .map(|version| version.join("bin"))
            .collect();
        if let Some(found) = hunt.look(label, &versions).await {
            return Ok(found);
        }
    }
    hunt.give_up()
}

/// A search under way, and the second best of what it saw.
struct Hunt<'a> {
    major: Option<u32>,
    launcher: &'a Launcher,
    searched: Vec<String>,
    other_major: Option<Binaries>,
    unsupported: Option<Binaries>,
}

impl Hunt<'_> {
    /// Looks into the directories of one place, which the operator knows as `label`.
    async fn look(&mut self, mut label: String, directories: &[PathBuf]) -> Option<Binaries> {
        for directory in directories {
            match inspect(directory, self.launcher).await {
                Inspection::Absent => {}
                Inspection::Broken(reason) => label = format!("{label}; {}: {reason}", directory.display()),
                Inspection::Found(found) if !MAJORS.contains(&found.major) => {
                    self.unsupported.get_or_insert(found);
                }
                Inspection::Found(found) if self.major.is_some_and(|major| major != found.major) => {
                    self.other_major.get_or_insert(found);
                }
                Inspection::Found(found) => return Some(found),
            }
        }
        self.searched.push(label);
        None
    }

    /// Settles for a major that does not fit the cluster, so that the error can name both, or says what is wrong.
    fn give_up(self) -> Result<Binaries, ServerError> {
        match (self.other_major, self.unsupported) {
            (Some(found), _) => Ok(found),
            (None, Some(Binaries { dir, version, .. })) => Err(ServerError::UnsupportedVersion {
                version,
                bin_dir: dir,
            }),
            (None, None) => Err(ServerError::BinariesNotFound {
                searched: self.searched,
            }),
        }
    }
}

/// Lists the directories in `parent` that are named `prefix` and a number, the highest number first.
fn numbered(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Asks the first `pg_config` on the path. It may come from the client library's package, without a server.
async fn pg_config(path: &[PathBuf], launcher: &Launcher) -> Option<PathBuf> {
    let program = path
        .iter()
        .map(|directory| directory.join("pg_config"))
        .find(|program| program.is_file())?;
    let output = launcher
        .output(&program, ["--bindir"])
        .await
        .ok()
        .filter(|output| output.status.success())?;
    let directory = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    directory.is_absolute().then_some(directory)
}

/// Looks at one directory, and runs what it has as the user who will run it.
///
/// A `postgres` on the path may be a link: the directory it leads to is taken if it has both programs, because
/// that one has the matching `share` directory beside it. A wrapper script leads nowhere and has to work by itself.
async fn inspect(directory: &Path, launcher: &Launcher) -> Inspection {
    let Ok(postgres) = directory.join("postgres").canonicalize() else {
        return Inspection::Absent;
    };
    let resolved = postgres.parent().filter(|parent| is_complete(parent));
    let dir = match resolved {
        Some(parent) => parent.to_owned(),
        None if is_complete(directory) => directory.to_owned(),
        None => return Inspection::Broken("has `postgres` but no `initdb`".to_owned()),
    };
    let (server, initdb) = (
        version(&dir, "postgres", launcher).await,
        version(&dir, "initdb", launcher).await,
    );
    match (server, initdb) {
        (Ok(server), Ok(initdb)) if server != initdb => {
            Inspection::Broken(format!("`postgres` is {server} but `initdb` is {initdb}"))
        }
        (Ok(version), Ok(_)) => match major(&version) {
            Some(major) => Inspection::Found(Binaries { dir, major, version }),
            None => Inspection::Broken(format!("cannot read the version {version:?}")),
        },
        (Err(reason), _) | (_, Err(reason)) => Inspection::Broken(reason),
    }
}

fn is_complete(directory: &Path) -> bool {
    directory.join("postgres").is_file() && directory.join("initdb").is_file()
}

/// Returns what `<program> --version` says after the program's name, or why it says nothing.
async fn version(dir: &Path, program: &str, launcher: &Launcher) -> Result<String, String> {
    let output = launcher.output(&dir.join(program), ["--version"]).await;
    let output = output.map_err(|error| format!("cannot run `{program}`: {error}"))?;
    if !output.status.success() {
        let said = super::log::last_lines(&String::from_utf8_lossy(&output.stderr));
        return Err(format!(
            "`{program} --version` failed ({}): {said}",
            output.status
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .trim()
        .split_once("(PostgreSQL) ")
        .map(|(_, version)| version.to_owned());
    version.ok_or_else(|| format!("`{program}` is not PostgreSQL's"))
}

/// Reads the major version: `15.18 (Debian 15.18-0+deb12u1)`, `18beta1`, `17`.
fn major(version: &str) -> Option<u32> {
    version
        .split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::layout::Account;
    use super::super::process::Environment;
    use super::*;

    /// A small file system with made-up PostgreSQL programs in it.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("dropwire-binaries-{name}-{}", std::process::id()));
            fs::create_dir_all(&root).unwrap();
            Self(root.canonicalize().unwrap())
        }

        /// Puts both programs of `version` into `directory`, as scripts.
        fn install(&self, directory: &str, version: &str) -> PathBuf {
            let directory = self.0.join(directory);
            fs::create_dir_all(&directory).unwrap();
            for program in ["postgres", "initdb"] {
                let script = directory.join(program);
                fs::write(
                    &script,
                    format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n"),
                )
                .unwrap();
                fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
            }
            directory
        }

        async fn find(&self, path: Option<&Path>, major: Option<u32>) -> Result<Binaries, ServerError> {
            let environment = Environment {
                path: Some("/usr/bin:/bin".into()),
                ..Environment::default()
            };
            let launcher = Launcher {
                account: Account::choose(Path::new("/nowhere")).unwrap(),
                environment,
            };
            let path = path.map(Path::as_os_str);
            find(
                &Search {
                    explicit: None,
                    path,
                    root: &self.0,
                    major,
                },
                &launcher,
            )
            .await
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn major_is_read_from_releases_and_betas() {
        let versions = ["15.18 (Debian 15.18-0+deb12u1)", "18beta1", "17", "devel"];
        assert_eq!(versions.map(major), [Some(15), Some(18), Some(17), None]);
    }

    #[tokio::test]
    async fn the_newest_of_several_is_taken_by_number_and_not_by_name() {
        let tree = Tree::new("newest");
        tree.install("usr/lib/postgresql/9/bin", "9.6.24");
        tree.install("usr/lib/postgresql/15/bin", "15.1");
        let newest = tree.install("usr/lib/postgresql/17/bin", "17.2");
        tree.install("usr/lib/postgresql/101/bin", "101.0");

        assert_eq!(tree.find(None, None).await.unwrap().dir, newest);
    }

    #[tokio::test]
    async fn an_existing_cluster_gets_its_own_major_wherever_it_is() {
        let tree = Tree::new("wanted");
        let on_path = tree.install("bin", "17.2");
        let rpm = tree.install("usr/pgsql-15/bin", "15.1");

        assert_eq!(tree.find(Some(&on_path), None).await.unwrap().dir, on_path);
        assert_eq!(tree.find(Some(&on_path), Some(15)).await.unwrap().dir, rpm);
        assert_eq!(tree.find(Some(&on_path), Some(14)).await.unwrap().dir, on_path);
    }

    #[tokio::test]
    async fn a_link_on_the_path_leads_to_the_real_directory() {
        let tree = Tree::new("link");
        let real = tree.install("opt/pg/bin", "16.3");
        let links = tree.0.join("bin");
        fs::create_dir(&links).unwrap();
        for program in ["postgres", "initdb"] {
            symlink(real.join(program), links.join(program)).unwrap();
        }

        assert_eq!(tree.find(Some(&links), None).await.unwrap().dir, real);
    }

    #[tokio::test]
    async fn an_unsupported_major_is_named() {
        let tree = Tree::new("old");
        tree.install("usr/lib/postgresql/13/bin", "13.9");

        let text = tree.find(None, None).await.unwrap_err().to_string();
        assert!(text.starts_with("found PostgreSQL 13.9 in "), "{text}");
        assert!(text.contains("majors 14 to 18"), "{text}");
    }

    #[tokio::test]
    async fn an_empty_machine_is_told_what_was_searched_and_what_to_run() {
        let tree = Tree::new("empty");
        let broken = tree.0.join("bin");
        fs::create_dir(&broken).unwrap();
        fs::write(broken.join("postgres"), "").unwrap();

        let text = tree.find(Some(&broken), None).await.unwrap_err().to_string();
        for part in [
            "has `postgres` but no `initdb`",
            "pg_config --bindir",
            "usr/lib/postgresql/<major>/bin",
            "usr/pgsql-<major>/bin",
            "opt/homebrew/opt/postgresql@<major>/bin",
            "Postgres.app",
            "\n  apt-get install -y --no-install-recommends postgresql\n",
            "\n  brew install postgresql@17\n",
            "set DATABASE_URL",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
    }
}
