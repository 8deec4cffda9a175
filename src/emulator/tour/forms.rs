//! Reads the forms and links of a page, as far as the scripted browser needs them.
//!
//! It is written by hand, because it reads only the pages of the broker, the emulator and the sample app, and a
//! standard HTML parser would add a dozen crates to the binary for this alone; tests read pages with one. It knows
//! elements, attributes, character references, comments and raw text. It does not know `select`, implied tags or
//! scripts. Elements are found by their `id`.

/// A page, as the sequence of its start tags.
#[derive(Debug, Default)]
pub(super) struct Document(Vec<Element>);

/// A start tag and the text that directly follows it.
#[derive(Debug)]
struct Element {
    tag: String,
    attributes: Vec<(String, String)>,
    text: String,
    /// The position of the form that encloses it.
    form: Option<usize>,
}

/// The request that a click on an element sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Click {
    /// A link: GET.
    Follow(String),
    /// A form by GET: its fields become the query.
    Query(String, Vec<(String, String)>),
    /// A form by POST.
    Post(String, Vec<(String, String)>),
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }
}

impl Document {
    /// Reads a page. It skips what it cannot understand.
    pub(super) fn parse(html: &str) -> Self {
        let mut elements: Vec<Element> = Vec::new();
        let mut form = None;
        let mut rest = html;
        while let Some((text, markup)) = rest.split_once('<') {
            add_text(&mut elements, text);
            rest = if let Some(comment) = markup.strip_prefix("!--") {
                comment.split_once("-->").map_or("", |(_, rest)| rest)
            } else if let Some(end) = markup.strip_prefix('/') {
                let (tag, rest) = end.split_once('>').unwrap_or((end, ""));
                if tag.trim().eq_ignore_ascii_case("form") {
                    form = None;
                }
                rest
            } else if markup.starts_with(|c: char| c.is_ascii_alphabetic()) {
                let (element, rest) = start_tag(markup);
                let raw = matches!(element.tag.as_str(), "script" | "style");
                let end = format!("</{}", element.tag);
                if element.tag == "form" {
                    form = Some(elements.len());
                }
                elements.push(Element { form, ..element });
                if raw { rest.split_once(end.as_str()).map_or("", |(_, rest)| rest) } else { rest }
            } else {
                markup.split_once('>').map_or("", |(_, rest)| rest)
            };
        }
        add_text(&mut elements, rest);
        for element in &mut elements {
            element.text = element.text.trim().to_owned();
        }
        Self(elements)
    }

    fn find(&self, id: &str) -> Option<&Element> {
        self.0.iter().find(|element| element.attribute("id") == Some(id))
    }

    /// Whether the page has an element with that id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// The text that directly follows the start tag with that id.
    pub(super) fn text(&self, id: &str) -> Option<&str> {
        self.find(id).map(|element| element.text.as_str())
    }

    /// The text of the first `tag` after the start tag with that id.
    pub(super) fn text_after(&self, id: &str, tag: &str) -> Option<&str> {
        let mut after = self.0.iter().skip_while(|element| element.attribute("id") != Some(id)).skip(1);
        after.find(|element| element.tag == tag).map(|element| element.text.as_str())
    }

    /// An attribute of the element with that id.
    pub(super) fn attribute(&self, id: &str, name: &str) -> Option<&str> {
        self.find(id)?.attribute(name)
    }

    /// The page's title.
    pub(super) fn title(&self) -> Option<&str> {
        self.0.iter().find(|element| element.tag == "title").map(|element| element.text.as_str())
    }

    /// The ids of all elements whose id begins with `prefix`, with their texts.
    pub(super) fn texts(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(move |element| {
            let name = element.attribute("id")?.strip_prefix(prefix)?;
            Some((name, element.text.as_str()))
        })
    }

    /// The request that a click on the link or button `id` sends after filling in `filled`: values by the fields' ids.
    /// `None` if one of these elements does not exist or is disabled.
    pub(super) fn click(&self, id: &str, filled: &[(&str, &str)]) -> Option<Click> {
        let clicked = self.find(id)?;
        if clicked.has("disabled") {
            return None;
        }
        if clicked.tag == "a" {
            return clicked.attribute("href").map(|href| Click::Follow(href.to_owned()));
        }
        let form_at = self.form_of(clicked)?;
        let form = self.0.get(form_at)?;
        for (id, _) in filled {
            self.find(id).filter(|field| self.form_of(field) == Some(form_at) && !field.has("disabled"))?;
        }
        let mut fields: Vec<(String, String)> = self
            .0
            .iter()
            .filter(|field| self.form_of(field) == Some(form_at))
            .filter_map(|field| value(field, filled))
            .collect();
        if let Some(name) = clicked.attribute("name") {
            fields.push((name.to_owned(), clicked.attribute("value").unwrap_or_default().to_owned()));
        }
        let of = |own: &str, name: &str| {
            clicked.attribute(own).or_else(|| form.attribute(name)).unwrap_or_default()
        };
        let action = of("formaction", "action").to_owned();
        let posts = of("formmethod", "method").eq_ignore_ascii_case("post");
        Some(if posts { Click::Post(action, fields) } else { Click::Query(action, fields) })
    }

    /// The position of the form that an element belongs to: the one that it names, or the one around it.
    fn form_of(&self, element: &Element) -> Option<usize> {
        match element.attribute("form") {
            None => element.form,
            Some(id) => self.0.iter().position(|form| form.tag == "form" && form.attribute("id") == Some(id)),
        }
    }
}

/// The value that a field sends: nothing if it has no name, is disabled, is a button, or is a box that is not ticked.
fn value(field: &Element, filled: &[(&str, &str)]) -> Option<(String, String)> {
    let name = field.attribute("name").filter(|name| !name.is_empty() && !field.has("disabled"))?;
    let id = field.attribute("id");
    let given = filled.iter().find(|(wanted, _)| Some(*wanted) == id).map(|(_, value)| *value);
    let kind = field.attribute("type").unwrap_or_default().to_ascii_lowercase();
    let value = match (field.tag.as_str(), kind.as_str()) {
        ("input", "submit" | "button" | "image" | "reset" | "file") => return None,
        ("input", "checkbox" | "radio") if given.is_none() && !field.has("checked") => return None,
        ("input", "checkbox" | "radio") => field.attribute("value").unwrap_or("on"),
        ("input", _) => given.or_else(|| field.attribute("value")).unwrap_or_default(),
        ("textarea", _) => given.unwrap_or(&field.text),
        _ => return None,
    };
    Some((name.to_owned(), value.to_owned()))
}

fn add_text(elements: &mut [Element], text: &str) {
    if let Some(element) = elements.last_mut() {
        element.text.push_str(&decode(text));
    }
}

/// Reads a start tag, from its name on, and returns what follows its `>`.
fn start_tag(markup: &str) -> (Element, &str) {
    let end = markup.find(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/').unwrap_or(markup.len());
    let (tag, mut rest) = markup.split_at(end);
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            rest = after;
            break;
        }
        if rest.is_empty() {
            break;
        }
        let (attribute, after) = attribute(rest);
        attributes.push(attribute);
        rest = after;
    }
    (Element { tag: tag.to_ascii_lowercase(), attributes, text: String::new(), form: None }, rest)
}

/// Reads one attribute: quoted, bare, or without a value.
fn attribute(markup: &str) -> ((String, String), &str) {
    let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, '>' | '/');
    let first = markup.chars().next().map_or(0, char::len_utf8);
    let end = markup
        .char_indices()
        .skip(1)
        .find(|(_, c)| is_end(*c) || *c == '=')
        .map_or(markup.len(), |(at, _)| at);
    let (name, rest) = markup.split_at(end.max(first));
    let name = name.to_ascii_lowercase();
    let Some(value) = rest.trim_start().strip_prefix('=') else { return ((name, String::new()), rest) };
    let value = value.trim_start();
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            let (value, rest) = quoted.split_once(quote).unwrap_or((quoted, ""));
            return ((name, decode(value)), rest);
        }
    }
    let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(value.len());
    let (value, rest) = value.split_at(end);
    ((name, decode(value)), rest)
}

/// Replaces the character references that the templates contain.
fn decode(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        decoded.push_str(before);
        let reference = after.split_once(';').and_then(|(name, rest)| Some((reference(name)?, rest)));
        rest = if let Some((character, rest)) = reference {
            decoded.push(character);
            rest
        } else {
            decoded.push('&');
            after
        };
    }
    decoded.push_str(rest);
    decoded
}

fn reference(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        _ => {
            let digits = name.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => digits.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_form_sends_its_fields_with_what_was_filled_in() {
        let page = Document::parse(
            r#"<!doctype html><title>Sign &amp; in</title><!-- <input name=x> --><script>"<form>"</script>
            <FORM method="POST" action='/sign-in?a=1&amp;b=2'>
            <input type=hidden name=token value="&#34;a&#x27;b&quot;">
            <input id=username name="username" value="old" required/>
            <input id="password" type="password" name="password">
            <input type=checkbox name=keep checked><input type=checkbox name=not>
            <input name=off disabled value=1><textarea name=note>
  x &lt; y</textarea>
            <button id="sign-in" name="do" value="go">Sign in</button><button id="other" formaction="/other">No</button>
            </form><input name=outside value=1>"#,
        );
        assert_eq!(page.title(), Some("Sign & in"));
        let sent = page.click("sign-in", &[("username", "bob"), ("password", "p&w")]);
        let wanted = fields(&[
            ("token", "\"a'b\""),
            ("username", "bob"),
            ("password", "p&w"),
            ("keep", "on"),
            ("note", "x < y"),
            ("do", "go"),
        ]);
        assert_eq!(sent, Some(Click::Post("/sign-in?a=1&b=2".to_owned(), wanted)));
        let Some(Click::Post(action, _)) = page.click("other", &[]) else { panic!() };
        assert_eq!(action, "/other");
    }

    #[test]
    fn a_field_that_is_not_in_the_form_cannot_be_filled() {
        let page =
            Document::parse("<form method=post><button id=go></form><input id=username name=username>");
        assert_eq!(page.click("go", &[("username", "bob")]), None);
        assert_eq!(page.click("go", &[("missing", "x")]), None);
        assert_eq!(page.click("stop", &[]), None);
        assert_eq!(page.click("go", &[]), Some(Click::Post(String::new(), Vec::new())));
    }

    #[test]
    fn a_button_outside_of_its_form_names_it() {
        let page = Document::parse(
            "<form id=f action=/go><input name=a value=1></form><input name=b value=2 form=f><button id=x form=f>Go</button>",
        );
        let wanted = fields(&[("a", "1"), ("b", "2")]);
        assert_eq!(page.click("x", &[]), Some(Click::Query("/go".to_owned(), wanted)));
    }

    #[test]
    fn links_are_followed_and_texts_read_by_id() {
        let page = Document::parse(
            "<a id=next href='/n?x=1&amp;y=2'>Next</a><td id=\"claim-sub\"> acc_1 </td><td id=claim-iss>a<b>c</b></td>",
        );
        assert_eq!(page.click("next", &[]), Some(Click::Follow("/n?x=1&y=2".to_owned())));
        assert_eq!(page.text("claim-sub"), Some("acc_1"));
        assert_eq!(page.texts("claim-").collect::<Vec<_>>(), [("sub", "acc_1"), ("iss", "a")]);
        assert_eq!(page.attribute("next", "href"), Some("/n?x=1&y=2"));
        assert_eq!(page.text_after("claim-sub", "b"), Some("c"));
        assert_eq!(page.text_after("claim-iss", "a"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_stops_the_reader(text in "[<>/=&;\"'a-z! -]{0,80}|\\PC{0,40}") {
            let page = Document::parse(&text);
            proptest::prop_assert!(page.0.len() <= text.len());
        }
    }

    proptest::proptest! {
        #[test]
        fn a_hidden_field_is_read_as_a_browser_reads_it(value in "\\PC{0,40}") {
            let escaped = value.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
            let html = format!("<form method=post><input name=\"n\" value=\"{escaped}\"><button id=go></form>");
            let standard = scraper::Html::parse_document(&html);
            let input = standard.select(&scraper::Selector::parse("input").unwrap()).next().unwrap();
            let wanted = fields(&[("n", input.value().attr("value").unwrap())]);
            let click = Document::parse(&html).click("go", &[]);
            proptest::prop_assert_eq!(click, Some(Click::Post(String::new(), wanted)));
        }
    }
}
