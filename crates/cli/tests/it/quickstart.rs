//! The first thing that a user tries.

use std::io::Write;
use std::process::Stdio;

use crate::common::{Home, Process, request};

#[test]
fn once_shows_a_message_and_ends() {
    let home = Home::new();
    let out = home.run(&["quickstart", "--once"]).ok();
    for part in ["/connectors/shop?config={", "UPDATE orders", "\norders[0] @0", "\"status\":\"PAID\""] {
        assert!(out.replace("\n   ", "\n").contains(part), "{part} in {out}");
    }
    // Nothing is left behind.
    assert_eq!(std::fs::read_dir(home.path()).expect("the home").count(), 0);
}

#[test]
fn it_stays_up_and_can_be_played_with() {
    let home = Home::new();
    let mut command = home.command(&["quickstart", "--dir", "demo"]);
    command.stdin(Stdio::null());
    let mut process = Process::start(command);
    let url = process.line("worker    ").trim().trim_start_matches("worker").trim().to_owned();
    process.line("Ctrl-C ends");
    let (status, body) = request(&url, "GET", "/connectors/shop/status", "");
    assert!(status == 200 && body.contains("RUNNING"), "{body}");
    // Whoever changes the file, the message is shown.
    let database = rusqlite::Connection::open(home.file("demo/shop.db")).expect("the shop");
    database.execute("UPDATE orders SET status = 'SENT BY ME' WHERE id = 2", ()).expect("changed");
    process.line("SENT BY ME");
    process.signal("INT");
    assert_eq!(process.wait().code(), Some(0));
    // What was kept goes on, and old messages are not shown as new.
    let out = home.run(&["quickstart", "--dir", "demo", "--once"]).ok();
    assert!(out.contains("\"PAID\"") && !out.contains("SENT BY ME"), "{out}");
}

#[test]
fn enter_changes_another_row() {
    let home = Home::new();
    let mut command = home.command(&["quickstart"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("quickstart");
    let mut keys = child.stdin.take().expect("piped");
    let out = child.stdout.take().expect("piped");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out)).map_while(Result::ok);
    lines.find(|line| line.contains("Ctrl-C ends")).expect("it is up");
    keys.write_all(b"\n").expect("pressed");
    lines.find(|line| line.contains("Cable") && !line.contains("INSERT")).expect("the message");
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn a_port_in_use_is_passed_over() {
    let home = Home::new();
    let first = Process::start(home.command(&["quickstart"]));
    let second = Process::start(home.command(&["quickstart"]));
    let url = |process: &Process| process.line("worker    ");
    assert_ne!(url(&first), url(&second));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    home.run(&["quickstart", "--port", &port, "--once"]).fails(1, &["http.port_in_use", &port]);
}
