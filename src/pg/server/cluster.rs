//! The cluster in `data/`: what is there, making it once and whole, and who may still be running on it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::SUPERUSER;
use super::binaries::Binaries;
use super::error::ServerError;
use super::layout::{Layout, SOCKET, private_directory};
use super::log::last_lines;
use super::process::{FAST_SHUTDOWN, IMMEDIATE_SHUTDOWN, Launcher};

/// How long a postmaster that lost its Dropwire may take to notice before it is told.
const EARLIER_SERVER: Duration = Duration::from_secs(4);

/// How often an earlier postmaster is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// How the directories begin that `initdb` works in.
const UNFINISHED: &str = "data.new-";

/// What `data/` holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// Nothing, or no directory at all.
    Nothing,
    /// What an `initdb` that was cut short leaves: PostgreSQL's names, and no cluster that ever ran.
    Unfinished,
    /// A cluster of this major version.
    Cluster(u32),
}

/// Looks at `data`.
///
/// [`ServerError::NotACluster`] protects the files of somebody who pointed us at a directory with another `data`
/// in it, and a cluster that lost its version file.
pub(super) fn contents(data: &Path) -> Result<Contents, ServerError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ServerError::File {
            action: "read",
            path,
            source,
        }
    };
    let version = data.join("PG_VERSION");
    match fs::read_to_string(&version) {
        Ok(text) => {
            let major = text.trim().split('.').next().and_then(|major| major.parse().ok());
            return major
                .map(Contents::Cluster)
                .ok_or_else(|| ServerError::NotACluster {
                    path: data.to_owned(),
                });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(&version)(error)),
    }
    let entries = match fs::read_dir(data) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(failed(data))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::Nothing),
        Err(error) => return Err(failed(data)(error)),
    };
    let known = |name: &str| {
        ["base", "global"].contains(&name) || name.starts_with("pg_") || name.starts_with("postgresql.")
    };
    if entries.is_empty() {
        Ok(Contents::Nothing)
    } else if !data.join("global/pg_control").exists()
        && entries
            .iter()
            .all(|entry| entry.file_name().to_str().is_some_and(known))
    {
        Ok(Contents::Unfinished)
    } else {
        Err(ServerError::NotACluster {
            path: data.to_owned(),
        })
    }
}

/// Makes the cluster unless it is there, and refuses one of another major version.
///
/// `initdb` works in a directory that becomes `data` in one step: whenever it is cut short, `data` is absent. That
/// directory has another name every time, because an `initdb` that is told to end empties its directory by name,
/// and by then its Dropwire may have gone and a new one be at work.
pub(super) async fn ensure(
    layout: &Layout,
    binaries: &Binaries,
    launcher: &Launcher,
    durable: bool,
) -> Result<(), ServerError> {
    let data = layout.data();
    match contents(&data)? {
        Contents::Cluster(major) if major == binaries.major => return Ok(()),
        Contents::Cluster(cluster_major) => {
            let (server_major, bin_dir) = (binaries.major, binaries.dir.clone());
            return Err(ServerError::MajorMismatch {
                data,
                cluster_major,
                server_major,
                bin_dir,
            });
        }
        Contents::Unfinished => {
            tracing::warn!(path = %data.display(), "an initdb was cut short here; starting it afresh");
            fs::remove_dir_all(&data).map_err(|source| {
                let path = data.clone();
                ServerError::File {
                    action: "remove",
                    path,
                    source,
                }
            })?;
        }
        Contents::Nothing => {}
    }
    remove_unfinished(&layout.root);
    let fresh = layout
        .root
        .join(format!("{UNFINISHED}{}", Uuid::new_v4().simple()));
    private_directory(&fresh, &launcher.account)?;
    initdb(&fresh, binaries, launcher, durable).await?;
    // An empty `data` is replaced.
    fs::rename(&fresh, &data)
        .and_then(|()| File::open(&layout.root)?.sync_all())
        .map_err(|source| ServerError::File {
            action: "make",
            path: data.clone(),
            source,
        })?;
    tracing::info!(path = %data.display(), version = %binaries.version, "made a PostgreSQL cluster");
    Ok(())
}

/// Removes what first starts that were cut short left behind. What is still written to waits for the next start.
fn remove_unfinished(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(UNFINISHED))
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, path = %entry.path().display(), "cannot remove an unfinished initdb yet");
        }
    }
}

/// Runs `initdb` in an empty directory.
async fn initdb(
    data: &Path,
    binaries: &Binaries,
    launcher: &Launcher,
    durable: bool,
) -> Result<(), ServerError> {
    let program = binaries.initdb();
    let mut arguments = vec![
        "-A",
        "trust",
        "--no-locale",
        "-E",
        "UTF8",
        "-U",
        SUPERUSER,
        "--no-instructions",
        "-D",
    ];
    if !durable {
        arguments.insert(0, "--no-sync");
    }
    let arguments = arguments.into_iter().map(AsRef::as_ref).chain([data.as_os_str()]);
    let output = launcher.output(&program, arguments).await;
    let output = output.map_err(|source| ServerError::Run { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    let text = last_lines(&String::from_utf8_lossy(&output.stderr));
    let output = if text.is_empty() {
        output.status.to_string()
    } else {
        text
    };
    Err(ServerError::Initdb {
        data: data.to_owned(),
        output,
    })
}

/// Makes sure that no postmaster of an earlier Dropwire runs on `data`, and removes what would look like one.
///
/// One whose Dropwire was killed is usually in the middle of its shutdown. One that stays is shut down. Must be
/// called with the directory locked.
pub(super) async fn clear_earlier(data: &Path, run: &Path) -> Result<(), ServerError> {
    let pid_file = data.join("postmaster.pid");
    if let Some(pid) = recorded_pid(&pid_file) {
        if is_postmaster(pid, data) {
            tracing::info!(
                postgres.pid = pid,
                "an earlier PostgreSQL is still there; waiting for it to end"
            );
            end_earlier(pid, data).await?;
        }
        // After a restart of the machine or container the number may be another program's, or an unreaped child
        // nobody waits for. PostgreSQL would take either for a living postmaster.
        if kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH) {
            remove_stale(&pid_file)?;
        }
    }
    // Same for the socket's lock: only a postmaster on `data` makes it, and there is none.
    remove_stale(&run.join(format!("{SOCKET}.lock")))
}

/// Waits for `pid` to end, and asks ever more firmly.
async fn end_earlier(pid: i32, data: &Path) -> Result<(), ServerError> {
    for (signal, patience) in [
        (None, EARLIER_SERVER),
        (Some(Signal::SIGINT), FAST_SHUTDOWN),
        (Some(Signal::SIGQUIT), IMMEDIATE_SHUTDOWN),
    ] {
        if let Some(signal) = signal {
            tracing::warn!(postgres.pid = pid, %signal, "an earlier PostgreSQL does not end by itself; stopping it");
            if let Err(error) = kill(Pid::from_raw(pid), signal) {
                tracing::warn!(postgres.pid = pid, %signal, %error, "cannot signal it");
            }
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if !is_postmaster(pid, data) {
                return Ok(());
            }
            sleep(GLANCE).await;
        }
    }
    Err(ServerError::EarlierServer {
        pid,
        data: data.to_owned(),
    })
}

/// Reads the first line of `postmaster.pid`. A negative number is a single-user backend that someone runs by hand:
/// not ours to stop, PostgreSQL will refuse to start beside it.
fn recorded_pid(pid_file: &Path) -> Option<i32> {
    let text = fs::read_to_string(pid_file).ok()?;
    text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 0)
}

fn remove_stale(path: &Path) -> Result<(), ServerError> {
    match fs::remove_file(path) {
        Ok(()) => tracing::info!(path = %path.display(), "removed what an earlier PostgreSQL left behind"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(ServerError::File {
                action: "remove",
                path: path.to_owned(),
                source,
            });
        }
    }
    Ok(())
}

/// Whether the process that the pid file names is a postmaster, and not provably one of another directory.
fn is_postmaster(pid: i32, data: &Path) -> bool {
    command_line(pid).is_some_and(|arguments| names_postmaster(&arguments, data))
}

/// Judges a command line whose arguments end in a zero each. That of a zombie is empty.
fn names_postmaster(arguments: &str, data: &Path) -> bool {
    let program = arguments
        .split('\0')
        .next()
        .and_then(|program| Path::new(program).file_name()?.to_str());
    let ours = format!("\0-D\0{}\0", data.display());
    matches!(program, Some("postgres" | "postmaster"))
        && (arguments.contains(&ours) || !arguments.contains("\0-D\0/"))
}

/// Returns what the process was started with, or nothing when there is none.
#[cfg(target_os = "linux")]
fn command_line(pid: i32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns what the process was started with, or nothing when there is none.
#[cfg(not(target_os = "linux"))]
fn command_line(pid: i32) -> Option<String> {
    let mut ps = std::process::Command::new("/bin/ps");
    let output = ps
        .args(["-ww", "-o", "args=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    // Spaces inside an argument are lost here. Then the directory is not recognised as another one's either.
    let line = String::from_utf8_lossy(&output.stdout).trim().replace(' ', "\0");
    Some(format!("{line}\0"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn scratch(name: &str, entries: &[&str]) -> PathBuf {
        let data = std::env::temp_dir().join(format!("dropwire-cluster-{name}-{}", std::process::id()));
        for entry in entries {
            fs::create_dir_all(data.join(entry)).unwrap();
        }
        data
    }

    #[test]
    fn an_unfinished_initdb_is_told_from_somebody_elses_files() {
        let unfinished = scratch("unfinished", &["pg_wal/archive_status", "base", "global"]);
        let foreign = scratch("foreign", &["base", "holiday pictures"]);
        let damaged = scratch("damaged", &["base", "global/pg_control"]);

        assert_eq!(contents(Path::new("/does/not/exist")).unwrap(), Contents::Nothing);
        assert_eq!(contents(&unfinished).unwrap(), Contents::Unfinished);
        assert!(matches!(contents(&foreign), Err(ServerError::NotACluster { .. })));
        assert!(matches!(contents(&damaged), Err(ServerError::NotACluster { .. })));
        fs::write(unfinished.join("PG_VERSION"), "16\n").unwrap();
        assert_eq!(contents(&unfinished).unwrap(), Contents::Cluster(16));
        for directory in [unfinished, foreign, damaged] {
            fs::remove_dir_all(directory).unwrap();
        }
    }

    #[test]
    fn a_reused_process_id_is_not_taken_for_our_postmaster() {
        let data = Path::new("/srv/a/data");
        let judge = |line: &str| names_postmaster(&line.replace(' ', "\0"), data);

        assert!(judge(
            "/usr/lib/postgresql/15/bin/postgres -D /srv/a/data -c port=5432 "
        ));
        assert!(judge("/usr/lib/postgresql/15/bin/postgres -D /srv/a/data "));
        assert!(judge("postgres -D data "), "could be ours, started by hand");
        assert!(!judge("/usr/lib/postgresql/15/bin/postgres -D /srv/a/data2 "));
        assert!(!judge("/usr/lib/postgresql/15/bin/postgres -D /srv/b/data "));
        assert!(!judge(
            "/usr/bin/dropwire serve --bin-dir /usr/lib/postgresql/15/bin "
        ));
        assert!(!judge(""));
    }
}
