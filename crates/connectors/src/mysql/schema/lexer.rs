//! SQL text as tokens, with the few moves that reading DDL needs.
//!
//! DDL is read by its own small grammar over these tokens, not by a full SQL parser: what a statement does to columns
//! is all that counts, and whatever else it says (partitions, options, index types of later servers) is stepped over
//! instead of being an error.

use std::any::TypeId;

use sqlparser::dialect::{Dialect, MySqlDialect};
use sqlparser::tokenizer::{Token, Tokenizer, Word};

/// No statement that defines tables has more tokens than this; a longer one is read from the catalog.
const MAX_TOKENS: usize = 1_000_000;

/// MySQL's dialect, with or without backslash escapes (`NO_BACKSLASH_ESCAPES`).
#[derive(Debug)]
struct Quoting {
    backslash: bool,
}

impl Dialect for Quoting {
    fn dialect(&self) -> TypeId {
        TypeId::of::<MySqlDialect>()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        MySqlDialect {}.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        MySqlDialect {}.is_identifier_part(ch)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        self.backslash
    }

    fn supports_numeric_prefix(&self) -> bool {
        true
    }

    fn supports_multiline_comment_hints(&self) -> bool {
        true
    }
}

/// A cursor over the tokens of one statement, without blanks and comments; the contents of `/*! */` comments count.
#[derive(Debug)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
    at: usize,
}

impl Tokens {
    /// `None` where the text cannot be split into tokens.
    pub(super) fn of(sql: &str, backslash: bool) -> Option<Self> {
        // MariaDB's own executable comments.
        let sql = sql.replace("/*M!", "/*!");
        let tokens = Tokenizer::new(&Quoting { backslash }, &sql).tokenize().ok()?;
        let tokens: Vec<_> =
            tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
        (tokens.len() <= MAX_TOKENS).then_some(Self { tokens, at: 0 })
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn next(&mut self) -> Option<&Token> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token)
    }

    pub(super) fn at_end(&self) -> bool {
        matches!(self.peek(), None | Some(Token::EOF | Token::SemiColon))
    }

    /// The unquoted word at hand, in upper case.
    pub(super) fn keyword(&self) -> Option<String> {
        self.keyword_at(0)
    }

    pub(super) fn keyword_at(&self, ahead: usize) -> Option<String> {
        match self.tokens.get(self.at + ahead) {
            Some(Token::Word(Word { value, quote_style: None, .. })) => Some(value.to_ascii_uppercase()),
            _ => None,
        }
    }

    /// Takes the words where they come next in this order.
    pub(super) fn take(&mut self, words: &str) -> bool {
        let matches = |(ahead, word): (usize, &str)| self.keyword_at(ahead).is_some_and(|at| at == word);
        let count = words.split(' ').count();
        let all = words.split(' ').enumerate().all(matches);
        if all {
            self.at += count;
        }
        all
    }

    /// Takes any one of the words.
    pub(super) fn take_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.take(word))
    }

    pub(super) fn symbol(&mut self, symbol: &Token) -> bool {
        let is = self.peek() == Some(symbol);
        self.at += usize::from(is);
        is
    }

    /// A name, quoted or not. Double quotes are names under `ANSI_QUOTES`, and nothing else stands where names do.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = match self.peek()? {
            Token::Word(word) => word.value.clone(),
            Token::DoubleQuotedString(text) => text.clone(),
            _ => return None,
        };
        self.at += 1;
        Some(name)
    }

    pub(super) fn string(&mut self) -> Option<String> {
        let text = match self.peek()? {
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => text.clone(),
            _ => return None,
        };
        self.at += 1;
        Some(text)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let Token::Number(text, _) = self.peek()? else { return None };
        let number = text.parse().ok()?;
        self.at += 1;
        Some(number)
    }

    /// Steps over the token at hand, a group in parentheses being one.
    pub(super) fn skip(&mut self) {
        let mut depth = 0usize;
        while let Some(token) = self.next() {
            match token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Steps to the comma or closing parenthesis that ends this item, or to the end.
    pub(super) fn skip_item(&mut self) {
        while !self.ends_item() {
            self.skip();
        }
    }

    pub(super) fn ends_item(&self) -> bool {
        self.at_end() || matches!(self.peek(), Some(Token::Comma | Token::RParen))
    }

    pub(super) fn skip_all(&mut self) {
        self.at = self.tokens.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_comments_count_and_others_do_not() {
        let mut tokens =
            Tokens::of("ALTER /* no */ TABLE `a``b` /*!50100 ADD */ /*M!100100 x */ # end", true)
                .expect("lexed");
        assert!(tokens.take("ALTER TABLE"));
        assert_eq!(tokens.name().as_deref(), Some("a`b"));
        assert!(tokens.take("ADD") && tokens.take("X") && tokens.at_end());
    }

    #[test]
    fn escapes_follow_the_sql_mode() {
        let text = |sql, backslash| Tokens::of(sql, backslash).and_then(|mut tokens| tokens.string());
        assert_eq!(text(r"'a\'b'", true).as_deref(), Some("a'b"));
        assert_eq!(text(r"'it''s'", true).as_deref(), Some("it's"));
        assert_eq!(text(r"'a\'", false).as_deref(), Some(r"a\"));
    }

    #[test]
    fn groups_are_stepped_over_as_one() {
        let mut tokens = Tokens::of("a (b, (c), d) e, f", true).expect("lexed");
        tokens.skip_item();
        assert!(tokens.symbol(&Token::Comma));
        assert_eq!(tokens.name().as_deref(), Some("f"));
    }
}
