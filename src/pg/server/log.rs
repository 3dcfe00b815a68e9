//! The server's own log: `postgres.log`, and one older generation beside it.
//!
//! A file and not our tracing output, for three reasons: its lines can hold values of rows, which our log must not;
//! a pipe would end with us, and with it the account of the server's own shutdown; and a full pipe stops the server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::fcntl::OFlag;

use super::error::ServerError;

/// The size in bytes at which the file becomes the older generation. With both, the log takes twice this.
const LIMIT: u64 = 16 * 1024 * 1024;

/// How much of the end is read, in bytes, and how many lines of it are shown.
const TAIL_SIZE: u64 = 4096;
const TAIL_LINES: usize = 6;

/// The log file of one server.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    older: PathBuf,
}

impl Log {
    /// Begins a new file in `directory`; the one of the last start becomes the older generation.
    pub(super) fn begin(directory: &Path) -> Result<Self, ServerError> {
        let log = Self {
            path: directory.join("postgres.log"),
            older: directory.join("postgres.log.1"),
        };
        match fs::rename(&log.path, &log.older) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ServerError::File {
                action: "rotate",
                path: log.path,
                source,
            }),
            _ => Ok(log),
        }
    }

    /// Returns where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for the server to write to.
    pub(super) fn writer(&self) -> Result<Stdio, ServerError> {
        // Appending is what lets `trim` empty the file below a running server.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&self.path)
            .map(Stdio::from)
            .map_err(|source| ServerError::File {
                action: "write",
                path: self.path.clone(),
                source,
            })
    }

    /// Returns the last lines, for an error message.
    pub(super) fn tail(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL_SIZE)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(last_lines(&String::from_utf8_lossy(&bytes)))
        };
        read().unwrap_or_else(|error| format!("(cannot be read: {error})"))
    }

    /// Whether the server's last words are that processes of an earlier one still hold its shared memory.
    pub(super) fn blames_orphans(&self) -> bool {
        self.tail().contains("pre-existing shared memory block")
    }

    /// Keeps the log bounded while the server runs.
    pub(super) fn trim(&self) {
        self.trim_beyond(LIMIT);
    }

    fn trim_beyond(&self, limit: u64) {
        let trim = || -> io::Result<()> {
            if fs::metadata(&self.path)?.len() > limit {
                fs::copy(&self.path, &self.older)?;
                OpenOptions::new().write(true).open(&self.path)?.set_len(0)?;
            }
            Ok(())
        };
        if let Err(error) = trim() {
            tracing::warn!(%error, path = %self.path.display(), "cannot shorten PostgreSQL's log");
        }
    }
}

/// Returns the last lines of a program's output.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_emptied_and_its_text_kept_one_generation() {
        let directory = std::env::temp_dir().join(format!("dropwire-log-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let log = Log::begin(&directory).unwrap();
        fs::write(log.path(), "one\ntwo\n").unwrap();

        log.trim_beyond(100);
        assert_eq!(log.tail(), "one\ntwo");
        log.trim_beyond(3);
        assert_eq!(log.tail(), "");
        assert_eq!(fs::read_to_string(&log.older).unwrap(), "one\ntwo\n");
        fs::remove_dir_all(&directory).unwrap();
    }
}
