//! A page from sections, and tables.

use super::chart::HATCHES;
use std::fmt::Write;

/// Text that cannot become markup.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
    }
    escaped
}

/// A page that is being written.
#[derive(Debug)]
pub struct Page {
    title: String,
    lead: String,
    sections: Vec<(String, String, String)>,
}

impl Page {
    /// A page of this title; `lead` is one sentence below it.
    #[must_use]
    pub fn new(title: &str, lead: &str) -> Self {
        Self { title: title.to_owned(), lead: lead.to_owned(), sections: Vec::new() }
    }

    /// Adds a section; `body` is markup.
    pub fn section(&mut self, id: &str, heading: &str, body: String) {
        self.sections.push((id.to_owned(), heading.to_owned(), body));
    }

    /// The whole file.
    #[must_use]
    pub fn finish(&self) -> String {
        let (title, lead) = (escape(&self.title), escape(&self.lead));
        let mut contents = String::new();
        let mut body = String::new();
        for (id, heading, markup) in &self.sections {
            let (id, heading) = (escape(id), escape(heading));
            // Writing to a string cannot fail.
            let _ = write!(contents, "<li><a href=\"#{id}\">{heading}</a></li>");
            let _ = write!(
                body,
                "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{heading}</h2>{markup}</section>"
            );
        }
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\
             <title>{title}</title><style>{STYLE}</style></head><body>\
             {HATCHES}<a class=\"skip\" href=\"#main\">Skip to the figures</a>\
             <header><h1>{title}</h1><p class=\"lead\">{lead}</p></header>\
             <nav aria-label=\"Sections\"><ol>{contents}</ol></nav><main id=\"main\">{body}</main></body></html>\n"
        )
    }
}

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Words, which may go on in the next line.
    Text,
    /// A name, in one line.
    Name,
    /// Labels and their shares, two in a line.
    Labels,
    /// Figures, to the right.
    Number,
}

/// A table: a caption, columns with their headings, rows of markup. The first cell of a row is its heading.
#[must_use]
pub fn table(caption: &str, columns: &[(&str, Column)], rows: &[Vec<String>]) -> String {
    let class = |column: Column| match column {
        Column::Text => "",
        Column::Name => " class=\"nowrap\"",
        Column::Labels => " class=\"labels\"",
        Column::Number => " class=\"n\"",
    };
    let mut text = format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>",
        escape(caption)
    );
    for (heading, column) in columns {
        text += &format!("<th scope=\"col\"{}>{}</th>", class(*column), escape(heading));
    }
    text += "</tr></thead><tbody>";
    for row in rows {
        text += "<tr>";
        for (index, (markup, (_, column))) in row.iter().zip(columns).enumerate() {
            let class = class(*column);
            text += &match index {
                0 => format!("<th scope=\"row\"{class}>{markup}</th>"),
                _ => format!("<td{class}>{markup}</td>"),
            };
        }
        text += "</tr>";
    }
    text + "</tbody></table></div>"
}

/// A few figures that must be seen first: a name, the figure, what it is.
#[must_use]
pub fn strip(figures: &[(String, String, String)]) -> String {
    let one = |(name, figure, note): &(String, String, String)| {
        format!("<div><dt>{}</dt><dd><b>{}</b><span>{}</span></dd></div>", escape(name), escape(figure), escape(note))
    };
    format!("<dl class=\"strip\">{}</dl>", figures.iter().map(one).collect::<String>())
}

/// A paragraph.
#[must_use]
pub fn paragraph(text: &str) -> String {
    format!("<p>{}</p>", escape(text))
}

const STYLE: &str = "
:root{color-scheme:light dark;--paper:#fbfbf9;--ink:#1b1f24;--soft:#5b6570;--line:#dcdfe2;--card:#fff;--accent:#0b6b5d;--warn:#a33a1b;--heat:11,107,93}
@media(prefers-color-scheme:dark){:root{--paper:#14171a;--ink:#e8eaec;--soft:#9aa4ae;--line:#2e353b;--card:#1b2024;--accent:#5cc9b5;--warn:#f0997b;--heat:92,201,181}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:76rem;padding:1.5rem 1.25rem 5rem;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--card);padding:.4rem .8rem}
h1{font-size:clamp(1.7rem,4.5vw,2.6rem);line-height:1.15;letter-spacing:-.02em;margin:1.2rem 0 .4rem}
h2{font-size:1.35rem;letter-spacing:-.01em;margin:3.2rem 0 .5rem}h3{font-size:1.02rem;margin:1.6rem 0 .3rem}
.lead{color:var(--soft);font-size:1.1rem;max-width:46rem;margin:0}p{max-width:46rem}
nav ol{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;padding:0;margin:1.3rem 0 0;font-size:.92rem}
a{color:var(--accent)}a:focus-visible,.scroll:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.strip{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.9rem;margin:1.2rem 0}
.strip div{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:.9rem 1.1rem}
.strip dt{color:var(--soft);font-size:.85rem}.strip dd{margin:0}.strip b{display:block;font-size:1.55rem;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.strip span{font-size:.85rem;color:var(--soft)}
.scroll{overflow-x:auto;margin:.8rem 0}table{border-collapse:collapse;width:100%;font-size:.92rem}
caption{text-align:left;color:var(--soft);font-size:.88rem;padding:.2rem 0 .5rem}
th,td{padding:.38rem .6rem .38rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;font-weight:400}
thead th{color:var(--soft);font-size:.82rem;border-bottom-color:var(--soft);vertical-align:bottom}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td small,th small{color:var(--soft)}.bad{color:var(--warn)}
figure{margin:1rem 0 1.6rem}figcaption{color:var(--soft);font-size:.88rem;margin:.35rem 0 0;max-width:46rem}
svg{max-width:100%;height:auto;color:var(--ink)}svg text{font-family:inherit;fill:var(--ink)}
.heat td{text-align:right;font-variant-numeric:tabular-nums;border:2px solid var(--paper);padding:.45rem .7rem;border-radius:.35rem}
.mark{width:100%;display:block;overflow:visible}.mark text{font-size:11px;fill:var(--soft)}.mark .grid{stroke:var(--line)}
.mark .one{stroke:var(--soft);stroke-dasharray:3 2}.mark .ahead{stroke:var(--accent);fill:var(--accent)}
.mark .behind{stroke:var(--warn);fill:var(--warn)}.mark .level{stroke:var(--soft);fill:var(--paper)}
.mark .whole{fill:var(--line)}.mark .part{fill:var(--accent)}
details{margin:.2rem 0 1rem}summary{cursor:pointer;color:var(--accent);font-size:.9rem;padding:.2rem 0}summary:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.two>div,.two>figure{min-width:0}.marked .wide{width:42%;min-width:8.5rem;padding-right:0}.marked td,.marked th{vertical-align:middle}
.nowrap{white-space:nowrap}thead .n,thead .nowrap{white-space:normal}.labels{min-width:8.9rem}.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(30rem,100%),1fr));gap:0 2rem}
@media(max-width:40rem){body{padding:1rem .8rem 3rem}.two{grid-template-columns:1fr}th,td{padding-right:.5rem}.chart svg{max-width:none}}
@media print{nav,.skip{display:none}body{max-width:none}}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_a_result_cannot_become_markup() {
        let mut page = Page::new("<script>alert(1)</script>", "\"quoted\" & 'more'");
        page.section("a\" onclick=\"x", "<b>", paragraph("<img src=x>"));
        let html = page.finish();
        for bad in ["<script>alert", "<img", "onclick=\"x\"", "<b>\u{3c}"] {
            assert!(!html.contains(bad), "{bad}");
        }
    }

    #[test]
    fn a_page_needs_nothing_from_outside() {
        let mut page = Page::new("t", "l");
        page.section(
            "s",
            "S",
            table("c", &[("a", Column::Text), ("b", Column::Number)], &[vec!["x".into(), "1".into()]]),
        );
        let html = page.finish();
        for outside in ["http://", "https://", "src=", "url(", "@import", "<script"] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(
            html.contains("<caption>c</caption>") && html.contains("scope=\"row\"") && html.contains("lang=\"en\"")
        );
    }
}
