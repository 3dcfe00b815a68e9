//! Running PostgreSQL's programs: as whom, with which environment, and how they are ended.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::error::ServerError;
use super::layout::Account;

/// How long a fast shutdown may take: it writes a checkpoint.
pub(super) const FAST_SHUTDOWN: Duration = Duration::from_secs(30);

/// How long an immediate shutdown may take; the postmaster itself kills its children after 5 seconds.
pub(super) const IMMEDIATE_SHUTDOWN: Duration = Duration::from_secs(10);

/// What PostgreSQL's programs get to see of our environment.
///
/// Only this: the rest holds Dropwire's secrets, and the server's SQL functions can read its own environment.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    /// Where programs are searched.
    pub(super) path: Option<OsString>,
    /// Where the loader searches libraries, for a PostgreSQL outside the usual places.
    pub(super) library_path: Option<OsString>,
    /// The login session's directory for sockets; not handed on.
    pub(super) runtime_dir: Option<OsString>,
}

impl Environment {
    /// Reads it from this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "facts of the machine and the login session, not settings"
    )]
    pub(super) fn read() -> Self {
        Self {
            path: std::env::var_os("PATH"),
            library_path: std::env::var_os("LD_LIBRARY_PATH"),
            runtime_dir: std::env::var_os("XDG_RUNTIME_DIR"),
        }
    }
}

/// Starts programs as the user that PostgreSQL runs as.
#[derive(Debug, Clone)]
pub(super) struct Launcher {
    pub(super) account: Account,
    pub(super) environment: Environment,
}

impl Launcher {
    /// Prepares `program`: in `/`, in its own process group (Ctrl-C is for us, not for it), and ended with us.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .process_group(0);
        for (name, value) in [
            ("PATH", &self.environment.path),
            ("LD_LIBRARY_PATH", &self.environment.library_path),
        ] {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        if self.account.switch {
            // The standard library then drops the supplementary groups as well.
            command
                .uid(self.account.uid.as_raw())
                .gid(self.account.gid.as_raw());
        }
        end_with_us(&mut command);
        command
    }

    /// Runs `program` to its end and returns what it wrote.
    pub(super) async fn output<I, A>(&self, program: &Path, arguments: I) -> io::Result<Output>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        self.command(program).args(arguments).output().await
    }
}

/// Has the kernel send the child SIGINT, PostgreSQL's fast shutdown, when the thread that spawns it ends.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "the parent-death signal can only be asked for between fork and exec"
)]
fn end_with_us(command: &mut Command) {
    use nix::errno::Errno;
    use nix::sys::prctl::set_pdeathsig;
    use nix::unistd::{getpid, getppid};

    let parent = getpid();
    // SAFETY: between fork and exec this makes two system calls, both async-signal-safe, and allocates nothing:
    // an `io::Error` made from an errno is a plain number. The standard library runs it after the change of user,
    // which would have cleared the signal.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGINT)?;
            // Whoever died before the call above left no signal behind, but a new parent.
            if getppid() == parent {
                Ok(())
            } else {
                Err(Errno::ESRCH.into())
            }
        });
    }
}

/// Other systems have no parent-death signal; the next start ends what it finds, by the pid file.
#[cfg(not(target_os = "linux"))]
fn end_with_us(_command: &mut Command) {}

/// Everything a postmaster is started from, now and after a crash.
#[derive(Debug)]
pub(super) struct Postmaster {
    pub(super) launcher: Launcher,
    pub(super) program: PathBuf,
    pub(super) data: PathBuf,
    pub(super) run: PathBuf,
    pub(super) parameters: Vec<(String, String)>,
}

impl Postmaster {
    /// Spawns the server, writing to `log`. It does not accept connections yet when this returns.
    ///
    /// Must be called on the supervisor's thread: the child ends with the thread that spawned it.
    pub(super) fn spawn(&self, log: &super::log::Log) -> Result<Child, ServerError> {
        let stderr = log.writer()?;
        let stdout = log.writer()?;
        self.launcher
            .command(&self.program)
            .arg("-D")
            .arg(&self.data)
            .args(
                self.settings()
                    .flat_map(|setting| [OsString::from("-c"), setting]),
            )
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(|source| ServerError::Run {
                program: self.program.clone(),
                source,
            })
    }

    /// Lists `name=value` for the command line, where the last one of a name wins and none can be overridden by
    /// `alter system`: our defaults, the caller's, then what keeps the server private.
    fn settings(&self) -> impl Iterator<Item = OsString> {
        /// For a small machine that this server shares with us and that speaks UTC, as Supabase does.
        const DEFAULTS: [&str; 8] = [
            "cluster_name=dropwire",
            "max_connections=100",
            "shared_buffers=128MB",
            "jit=off", // compiling costs more than our short statements take
            "timezone=UTC",
            "log_timezone=UTC",
            "log_checkpoints=off",
            "log_line_prefix=%m [%p] %q%u@%d ",
        ];
        const PRIVATE: [&str; 3] = ["listen_addresses=", "port=5432", "unix_socket_permissions=0700"];

        let given = self
            .parameters
            .iter()
            .map(|(name, value)| OsString::from(format!("{name}={value}")));
        let mut socket = OsString::from("unix_socket_directories=");
        socket.push(quoted(&self.run));
        DEFAULTS
            .iter()
            .map(OsString::from)
            .chain(given)
            .chain(PRIVATE.iter().map(OsString::from))
            .chain([socket])
    }
}

/// Quotes a directory for a setting that is a comma-separated list of names.
fn quoted(directory: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

    let mut bytes = vec![b'"'];
    for &byte in directory.as_os_str().as_bytes() {
        bytes.extend(std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 }));
    }
    bytes.push(b'"');
    OsString::from_vec(bytes)
}

/// Ends the postmaster: fast, then immediate when that takes too long, then by force.
pub(super) async fn shut_down(child: &mut Child) {
    for (signal, patience) in [
        (Signal::SIGINT, FAST_SHUTDOWN),
        (Signal::SIGQUIT, IMMEDIATE_SHUTDOWN),
        (Signal::SIGKILL, IMMEDIATE_SHUTDOWN),
    ] {
        // No id means that it was waited for already; until then the number cannot belong to anyone else.
        let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else {
            return;
        };
        if let Err(error) = kill(Pid::from_raw(pid), signal) {
            tracing::warn!(postgres.pid = pid, %signal, %error, "cannot signal PostgreSQL");
        }
        if timeout(patience, child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(postgres.pid = pid, %signal, "PostgreSQL does not stop; trying harder");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_directory_with_a_comma_or_quote_stays_one_name() {
        assert_eq!(quoted(Path::new("/tmp/a,b")), "\"/tmp/a,b\"");
        assert_eq!(quoted(Path::new("/tmp/a\"b")), "\"/tmp/a\"\"b\"");
    }
}
