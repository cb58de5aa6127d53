//! What only a person on a terminal is shown and asked.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, ExitStatus},
    sync::mpsc::{Receiver, channel},
};

use nix::pty::{Winsize, openpty};

use crate::{
    product::{CLUSTER, Scripted, Trouble},
    served::{PATIENCE, Served, naosu_command},
};

/// The binary on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    fn run(served: &Served, arguments: &[&str]) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).unwrap();
        let url = served.unix_url();
        let all = [&["--server", &url], arguments].concat();
        let child = naosu_command(Path::new("/"), &all)
            .env("TERM", "xterm")
            .stdin(pair.slave.try_clone().unwrap())
            .stdout(pair.slave.try_clone().unwrap())
            .stderr(pair.slave)
            .spawn()
            .unwrap();
        let keyboard = File::from(pair.master);
        let mut reader = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The terminal's end is an error on Linux.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard,
            screen,
            shown: String::new(),
        }
    }

    /// Waits until `text` is shown.
    fn until(&mut self, text: &str) {
        while !self.shown.contains(text) {
            let bytes = self.screen.recv_timeout(PATIENCE);
            let bytes = bytes.unwrap_or_else(|e| panic!("{text:?}: {e}; shown: {}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// All that was shown, when the process has ended.
    fn end(mut self) -> (ExitStatus, String) {
        while let Ok(bytes) = self.screen.recv_timeout(PATIENCE) {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        (self.child.wait().unwrap(), self.shown)
    }
}

const JUDGED: &str = "  nsg-allow-port: CONFIRMED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_on_a_terminal_sees_what_goes_on_before_the_result() {
    let served = Served::start(Scripted::default()).await;
    let (status, shown) = Terminal::run(&served, &["diagnose", CLUSTER]).end();
    assert!(status.success(), "{shown}");
    let judged = shown.find(JUDGED).expect(&shown);
    assert!(judged < shown.find("dia-1").unwrap(), "{shown}");
    served.end().await;
    let product = Scripted::failing(Trouble::TunnelReaches(2));
    let served = Served::start(product).await;
    for command in [&["apply", "plan-1"][..], &["run", "watch", "run-1"]] {
        let (status, shown) = Terminal::run(&served, command).end();
        assert!(status.success(), "{shown}");
        // While it goes on, and not once more on the same screen.
        let told = shown.find("  mended: s").expect(&shown);
        let state = shown.find("State").unwrap();
        assert!(told < state, "{shown}");
        assert!(!shown[state..].contains("mended: s"), "{shown}");
        assert!(shown[state..].contains("run show run-1\u{1b}"), "{shown}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_stays_quiet_when_asked_to_or_when_a_program_reads() {
    let served = Served::start(Scripted::default()).await;
    for quiet in [&["--quiet"][..], &["-o", "json"]] {
        let command = [&["diagnose", CLUSTER], quiet].concat();
        let (status, shown) = Terminal::run(&served, &command).end();
        assert!(status.success(), "{shown}");
        assert!(!shown.contains(JUDGED), "{shown}");
        assert!(shown.contains("dia-1"), "{shown}");
    }
    served.end().await;
}

const PROMPT: &str = "type the first twelve hex digits of its digest: ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_decides_on_the_plan_that_is_shown_by_typing_the_beginning_of_its_digest() {
    let product = Scripted::default();
    let asked = product.asked();
    let served = Served::start(product).await;
    for verb in ["approve", "reject"] {
        let mut terminal = Terminal::run(&served, &["plan", verb, "plan-1"]);
        terminal.until(PROMPT);
        assert!(terminal.shown.contains("sha256:e3b0c44298fc"), "{verb}");
        assert!(terminal.shown.contains(&format!("To {verb} it")));
        assert!(
            asked.lock().unwrap().is_empty(),
            "before anything was typed"
        );
        terminal.types("e3b0c44298fc\n");
        let (status, shown) = terminal.end();
        assert!(status.success(), "{shown}");
        let decided: Vec<String> = asked
            .lock()
            .unwrap()
            .drain(..)
            .map(|(what, _)| what)
            .collect();
        assert_eq!(decided, [verb]);
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_else_a_person_types_decides_nothing() {
    let product = Scripted::default();
    let asked = product.asked();
    let served = Served::start(product).await;
    for typed in ["yes\n", "\n", "e3b0c44298f\n", "e3b0c44298fd\n", "\u{4}"] {
        let mut terminal = Terminal::run(&served, &["plan", "approve", "plan-1"]);
        terminal.until(PROMPT);
        terminal.types(typed);
        let (status, shown) = terminal.end();
        assert_eq!(status.code(), Some(2), "{typed:?}: {shown}");
        assert!(shown.contains("nothing was decided"), "{shown}");
    }
    assert!(asked.lock().unwrap().is_empty());
    served.end().await;
}
