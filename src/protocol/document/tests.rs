use std::time::Duration;

use ipnet::IpNet;

use super::*;
use crate::model::Secret;

crate::setting_enum! {
    /// A colour.
    pub enum Colour {
        /// Red.
        Red = "red",
        /// Green.
        Green = "green",
    }
}

fn errors_of(text: &str, read: impl FnOnce(&Table<'_>)) -> Vec<String> {
    let problems = Problems::default();
    let document = Document::parse("some.toml", text, &problems);
    let root = document.root(&problems);
    read(&root);
    root.finish();
    match problems.finish(Some(())) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn every_problem_is_reported_with_its_line_and_none_hides_another() {
    let text =
        "name = 3\ncolour = \"gren\"\nsize = \"big\"\n\n[inner]\nwait = \"5 minutes\"\nnothing = true\n";
    let errors = errors_of(text, |root| {
        assert_eq!(root.required::<String>("name"), None);
        assert_eq!(root.optional::<Colour>("colour"), None);
        assert_eq!(root.or::<u16>("size", 7), 7);
        assert_eq!(root.required::<bool>("absent"), None);
        let inner = root.table("inner").unwrap();
        assert_eq!(inner.optional::<Duration>("wait"), None);
        inner.finish();
    });
    assert_eq!(
        errors,
        [
            "some.toml: absent: is missing; add it",
            "some.toml:1: name: expected text in quotes, found integer",
            "some.toml:2: colour: \"gren\" is not one of \"red\", \"green\"; did you mean \"green\"?",
            "some.toml:3: size: expected a whole number, found string",
            "some.toml:6: inner.wait: \"5 minutes\" is not a duration; write it like \"30s\", \"5m\", \"12h\" or \"30d\"",
            "some.toml:7: inner.nothing: unknown key; remove it, or look its name up in the reference",
        ]
    );
}

#[test]
fn an_unknown_key_is_told_the_known_one_that_is_near() {
    let errors = errors_of("colur = \"red\"\n", |root| {
        root.optional::<Colour>("colour");
    });
    assert_eq!(errors, ["some.toml:1: colur: unknown key; did you mean `colour`?"]);
}

#[test]
fn syntax_errors_stand_beside_the_others() {
    let errors = errors_of("a = \nb = 2\nb = 3\nc = true\n", |root| {
        root.optional::<String>("a");
        root.optional::<u16>("b");
    });
    assert_eq!(errors.len(), 3, "{errors:#?}");
    assert!(errors[0].starts_with("some.toml:1: "), "{errors:#?}");
    assert!(errors[1].starts_with("some.toml:3: duplicate key"), "{errors:#?}");
    assert!(errors[2].starts_with("some.toml:4: c: unknown key"), "{errors:#?}");
}

#[test]
fn nested_arrays_of_tables_name_their_index_and_line() {
    let text = "[[groups]]\nname = \"a\"\n[[groups.members]]\nage = 3\n[[groups]]\nname = \"b\"\n[[groups.members]]\nage = -1\nextra = 1\n";
    let mut ages = Vec::new();
    let errors = errors_of(text, |root| {
        for group in root.tables("groups") {
            group.required::<String>("name");
            for member in group.tables("members") {
                ages.extend(member.optional::<u16>("age"));
                member.finish();
            }
            group.finish();
        }
    });
    assert_eq!(ages, [3]);
    assert_eq!(
        errors,
        [
            "some.toml:8: groups[1].members[0].age: expected a whole number that fits u16",
            "some.toml:9: groups[1].members[0].extra: unknown key; remove it, or look its name up in the reference",
        ]
    );
}

#[test]
fn inline_tables_are_read_like_the_others_and_other_values_are_refused() {
    let text = "domains = [{ name = \"acme.test\" }, \"x\"]\ngroups = 3\ninner = []\n";
    let errors = errors_of(text, |root| {
        let names: Vec<String> = root.tables("domains").iter().filter_map(|t| t.required("name")).collect();
        assert_eq!(names, ["acme.test"]);
        assert!(root.tables("groups").is_empty());
        assert!(root.table("inner").is_none());
    });
    assert_eq!(
        errors,
        [
            "some.toml:1: domains[1]: expected a table, found string",
            "some.toml:2: groups: expected a list of tables, found integer",
            "some.toml:3: inner: expected a table, found array",
        ]
    );
}

#[test]
fn lists_of_parsed_texts_report_each_item_on_its_own_line() {
    let text = "addresses = [\n  \"127.0.0.1\",\n  \"nowhere\",\n  5,\n]\n";
    let errors = errors_of(text, |root| {
        assert_eq!(root.parsed_list::<std::net::Ipv4Addr>("addresses").len(), 1);
    });
    assert_eq!(
        errors,
        [
            "some.toml:3: addresses[1]: invalid IPv4 address syntax",
            "some.toml:4: addresses[2]: expected text in quotes, found integer",
        ]
    );
}

#[test]
fn a_map_keeps_the_writers_own_keys() {
    let errors = errors_of("claims = { hd = \"acme.test\", tid = 4 }\n", |root| {
        assert_eq!(root.map::<String>("claims"), [("hd".to_owned(), "acme.test".to_owned())]);
    });
    assert_eq!(errors, ["some.toml:1: claims.tid: expected text in quotes, found integer"]);
}

#[test]
fn a_problem_stays_on_its_line_whatever_the_document_holds() {
    let errors = errors_of("\"a\\nb\\u001b[31m\" = 1\n", |_| {});
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("some.toml:1: a\\nb\\u{1b}[31m: unknown key"), "{errors:?}");
}

#[test]
fn a_refused_secret_is_not_shown() {
    let errors = errors_of("token = 123456\n", |root| assert!(root.optional::<Secret>("token").is_none()));
    assert_eq!(errors, ["some.toml:1: token: expected text in quotes, found integer"]);
}

#[test]
fn durations_are_whole_numbers_with_a_unit() {
    for (text, seconds) in [("30s", 30), ("5m", 300), ("12h", 43_200), ("30d", 2_592_000), ("2000ms", 2)] {
        assert_eq!(Duration::from_text(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    for text in
        ["", "5", "m", "-5m", "5 m", "1.5h", "5M", "1h30m", "99999999999999999999d", "9999999999999999999d"]
    {
        assert!(Duration::from_text(text).is_err(), "{text}");
    }
}

#[test]
fn networks_with_host_bits_are_refused_with_the_network_that_was_meant() {
    assert_eq!(IpNet::from_text("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
    assert_eq!(IpNet::from_text("fd00::/8").unwrap().to_string(), "fd00::/8");
    assert_eq!(IpNet::from_text("10.1.2.3/8").unwrap_err().remedy.unwrap(), "write \"10.0.0.0/8\"");
    assert!(IpNet::from_text("10.0.0.0/33").is_err());
}

#[test]
fn a_list_in_a_variable_is_separated_by_commas() {
    assert_eq!(Vec::<u16>::from_text(" 1, 2 ,3"), Ok(vec![1, 2, 3]));
    assert_eq!(Vec::<u16>::from_text(""), Ok(Vec::new()));
    assert!(Vec::<u16>::from_text("1,x").is_err());
}

#[test]
fn words_read_back_what_they_write() {
    for colour in [Colour::Red, Colour::Green] {
        assert_eq!(Colour::from_text(colour.word()), Ok(colour));
    }
}
