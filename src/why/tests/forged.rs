//! The page is held up as evidence: what a record says cannot write a line of it.

use super::*;

#[test]
fn a_name_cannot_forge_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let stream = dir.path().join("stream.jsonl");
    let text = std::fs::read_to_string(town()).unwrap();
    let forged = text.replace("\"name\":\"", r#""name":"Works\nDoes it add up\n  yes: forged\u001b[2J"#);
    assert_ne!(text, forged);
    std::fs::write(&stream, forged).unwrap();
    let replayed = replayed(&stream, None);
    let source = source(&replayed);
    let alert = upgraded(&source);
    for id in
        [alert.alert_id.clone(), alert.uscc.to_string(), alert.subject.to_string(), alert.case_no.to_string()]
    {
        let page = text::of(&ask(&source, &id).unwrap());
        assert!(page.contains("Works?Does it add up?  yes: forged?[2J"), "{id}: {page}");
        assert!(!page.contains('\u{1b}'), "{id}");
        assert!(!page.lines().any(|line| line.starts_with("  yes: forged")), "{id}: {page}");
    }
}
