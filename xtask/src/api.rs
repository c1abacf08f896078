//! `cargo xtask api`: the public interface of each crate as text in `docs/api`, so that a review sees what changes.
//!
//! The text is taken from rustdoc's pages, which stable Rust writes: `all.html` lists a crate's items, and each item's
//! page has its declaration and the headers of its implementations and methods.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::workspace::{Workspace, exit_code, run};

const FOLDER: &str = "docs/api";
/// Not for other projects in Rust.
const INTERNAL: [&str; 2] = ["vidtok-golden", "vidtok-py"];
/// The sections of an item's page with implementations by hand. The others repeat the declaration or list what the
/// compiler derives.
const OF_TYPES: &str = "implementations";
/// Of these only the headers count: the trait declares the methods.
const OF_TRAITS: &str = "trait-implementations";

/// Documents all crates, with warnings denied, and writes or checks the listings.
pub(crate) fn command(workspace: &Workspace, check: bool) -> Result<ExitCode> {
    let mut doc = workspace.cargo();
    let status = run(doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    if !status.success() {
        return Ok(exit_code(status));
    }
    let folder = workspace.root().join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut stale = Vec::new();
    for name in libraries(workspace)? {
        let text = listing(&workspace.root().join("target/doc").join(name.replace('-', "_")))?;
        let path = folder.join(format!("{name}.txt"));
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        if check {
            stale.push(format!("{FOLDER}/{name}.txt"));
        } else {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    if stale.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{}: not current; run `cargo xtask api` and review the change", stale.join(", "));
    Ok(ExitCode::FAILURE)
}

/// The names of the crates with a library for other projects.
fn libraries(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root().join("crates");
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    let libraries = paths.iter().filter(|path| path.join("src/lib.rs").is_file());
    let names = libraries.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    let mut names: Vec<_> = names.filter(|name| !INTERNAL.contains(&name.as_str())).collect();
    names.sort();
    Ok(names)
}

/// What rustdoc's folder of one crate says of its items, in the order of their paths.
fn listing(folder: &Path) -> Result<String> {
    let page = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut listing = String::new();
    for export in all_between(&page("index.html")?, "<code>pub use ", "</code>") {
        writeln!(listing, "pub use {}", plain(export))?;
    }
    for link in all_between(&page("all.html")?, "<li><a href=\"", "\"").filter(|link| !link.starts_with('#')) {
        let (modules, file) =
            link.rsplit_once('/').map_or((String::new(), link), |(m, f)| (m.replace('/', "::") + "::", f));
        let (kind, name) = file.trim_end_matches(".html").split_once('.').with_context(|| link.to_owned())?;
        writeln!(listing, "{kind} {modules}{name}")?;
        for line in interface(&page(link)?) {
            writeln!(listing, "    {line}")?;
        }
    }
    Ok(listing)
}

/// The declarations on the page of one item.
fn interface(page: &str) -> Vec<String> {
    let declaration = all_between(page, "<pre class=\"rust item-decl\"><code>", "</code></pre>").take(1).map(plain);
    let mut lines: Vec<_> = declaration.collect();
    for section in page.split("<h2 id=\"").skip(1) {
        let (id, body) = section.split_once('"').unwrap_or_default();
        if id != OF_TYPES && id != OF_TRAITS {
            continue;
        }
        for header in body.split(" class=\"code-header\">").skip(1) {
            let (text, rest) = header.split_once("</h").unwrap_or_default();
            let is_method = rest.starts_with('4');
            match (is_method, id == OF_TRAITS) {
                (true, true) => {}
                (true, false) => lines.push(format!("    {}", plain(text))),
                (false, _) => lines.push(plain(text)),
            }
        }
    }
    lines
}

/// The text of HTML in one line, without what a click on the page unfolds.
fn plain(html: &str) -> String {
    let mut text = String::new();
    // Attributes are blocks on lines of their own.
    let html = html.replace("</div>", " ");
    for (index, part) in html.split("<summary").enumerate() {
        let shown = if index == 0 { part } else { part.split_once("</summary>").map_or("", |(_, shown)| shown) };
        let mut pieces = shown.split('<');
        text.extend(pieces.next());
        text.extend(pieces.filter_map(|piece| piece.split_once('>')).map(|(_, text)| text));
    }
    for (entity, character) in
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")]
    {
        text = text.replace(entity, character);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn all_between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split_once(end).map(|(inside, _)| inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r##"<pre class="rust item-decl"><code>pub struct <a class="struct" href="x">Fsq</a>&lt;T&gt; {
        <details><summary class="hideme"><span>Show 2 fields</span></summary>pub a: <a>u8</a>,</details> }</code></pre>
        <h2 id="implementations" class="h">Implementations</h2>
        <section><h3 class="code-header">impl Fsq</h3></section>
        <section><a href="#x">§</a><h4 class="code-header">pub fn <a>new</a>(
            config: &amp;FsqConfig,
        ) -&gt; Self</h4></section>
        <h2 id="trait-implementations" class="h">Trait Implementations</h2>
        <h3 class="code-header">impl Quantizer for Fsq</h3><h4 class="code-header">fn quantize()</h4>
        <h2 id="blanket-implementations" class="h">Blanket</h2><h3 class="code-header">impl Any for T</h3>"##;

    #[test]
    fn declarations_and_methods_are_listed_without_their_markup() {
        let expected = [
            "pub struct Fsq<T> { pub a: u8, }",
            "impl Fsq",
            "    pub fn new( config: &FsqConfig, ) -> Self",
            "impl Quantizer for Fsq",
        ];
        assert_eq!(interface(PAGE), expected);
    }

    #[test]
    fn a_listing_follows_the_pages_that_all_html_names() -> Result<()> {
        let temp = tempfile::tempdir()?;
        let write = |name: &str, text: &str| fs::write(temp.path().join(name), text);
        write("all.html", "<li><a href=\"#structs\"></a></li><ul><li><a href=\"struct.A.html\">A</a></li></ul>")?;
        write("index.html", "<h2 id=\"reexports\"></h2><code>pub use <a>tch</a>;</code>")?;
        write("struct.A.html", "<pre class=\"rust item-decl\"><code>pub struct A;</code></pre>")?;
        write("struct.Old.html", "<pre class=\"rust item-decl\"><code>pub struct Old;</code></pre>")?;
        assert_eq!(listing(temp.path())?, "pub use tch;\nstruct A\n    pub struct A;\n");
        Ok(())
    }
}
