//! What an SMS that came back means. Pure, by tables, and never a guess: words that are not wholly understood are
//! [`Says::Other`], because a wrong "acknowledged" lets a warning rest that nobody has read.
//!
//! The text is read as *clauses* (between punctuation, and between spaces where it says nothing without them), each clause as
//! a row of known phrases with nothing left over. So 没收到 (not received) is not 收到 (received), and 1234 is not 1.
//!
//! | what the clauses say | meaning |
//! |---|---|
//! | received, and nothing else | acknowledged |
//! | not ours, whether received or not (收到，但不是我单位) | not ours |
//! | withdrawn, whether received or not | withdrawn (a claim) |
//! | not ours and withdrawn; a question; anything that is in no table | other |
//!
//! Thanks, promises (马上排查) and a signature at the end (【…】, a name, a firm's registered one, an office) say nothing of their own.
//! The text is forgotten here: its meaning goes on, and the case number where one was quoted.

use tocsin_schemas::areas;
use tocsin_schemas::codes::Says;
use tocsin_schemas::ids::IncidentId;

use crate::texts::head_and_tail;

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// One of those that a person says.
    pub says: Says,
    /// The incident's number (its check digit is right), where the person quoted exactly one.
    pub case_no: Option<String>,
}

/// A longer text is not read: it is a letter, and means what a person makes of it.
const LONGEST: usize = 120;

/// What a clause, or a phrase of one, says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Filler,
    Received,
    /// 不是: says "not ours" only if nothing else is said.
    No,
    NotOurs,
    Withdrawn,
}

/// The meaning of a reply.
pub fn meaning(text: &str) -> Meaning {
    let plain: String = text.chars().filter_map(plain).collect();
    if plain.chars().count() > LONGEST {
        return Meaning { says: Says::Other, case_no: None };
    }
    let (rest, case_no) = without_number(&plain);
    let rest = without_brackets(&rest);
    if ["?", "吗", "么", "呢"].iter().any(|mark| rest.contains(mark)) {
        return Meaning { says: Says::Other, case_no };
    }
    // 收 到 is one word, 收到 张三 are two: first as if there were no spaces, then at each of them.
    let joined: String = rest.chars().filter(|c| !c.is_whitespace()).collect();
    let says = said(clauses(&joined)).or_else(|| said(clauses(&rest)));
    Meaning { says: says.unwrap_or(Says::Other), case_no }
}

/// Full-width forms as their ASCII ones, lower case, simplified where a reply would have it otherwise; without marks that
/// only say how a character looks (keycaps, zero-width).
fn plain(c: char) -> Option<char> {
    Some(match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0)?.to_ascii_lowercase(),
        '\u{3000}' => ' ',
        '①' | '⑴' | '❶' => '1',
        '單' => '单',
        '們' => '们',
        '發' => '发',
        '錯' => '错',
        '銷' => '销',
        '復' | '覆' | '複' => '复',
        '確' => '确',
        '認' => '认',
        '閱' => '阅',
        '廠' => '厂',
        '屬' => '属',
        '經' => '经',
        '謝' => '谢',
        '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}' | '\u{200b}'..='\u{200d}' | '\u{feff}' => return None,
        _ => c.to_ascii_lowercase(),
    })
}

/// Without the signature in 【…】 or [...] at either end, where something else is left. What stands in other brackets, or
/// says something, is a clause.
fn without_brackets(text: &str) -> String {
    let mut text = text.trim();
    let goes = |signature: &str, rest: &str| !sentence(signature) && !rest.trim().is_empty();
    for (open, close) in [('【', '】'), ('[', ']')] {
        if let Some((_, rest)) = text
            .strip_prefix(open)
            .and_then(|t| t.split_once(close))
            .filter(|(signature, rest)| goes(signature, rest))
        {
            text = rest.trim();
        }
        if let Some((rest, _)) = text
            .strip_suffix(close)
            .and_then(|t| t.rsplit_once(open))
            .filter(|(rest, signature)| goes(signature, rest))
        {
            text = rest.trim();
        }
    }
    text.to_owned()
}

/// Without the case number, and the number. Two different ones are none.
fn without_number(text: &str) -> (String, Option<String>) {
    let mut rest = String::new();
    let mut found: Vec<String> = Vec::new();
    let mut runs = &runs(text)[..];
    while let Some((run, after)) = runs.split_first() {
        let Some((number, after)) = number(run, after) else {
            rest.push_str(run);
            runs = after;
            continue;
        };
        found.push(number);
        runs = after;
        // What the texts print before it, and what people make of that.
        let labels = ["编号为", "编号:", "编号是", "编号", "单号为", "单号:", "单号是", "单号"];
        if let Some(label) = labels.iter().find(|label| rest.trim_end().ends_with(**label)) {
            rest.truncate(rest.trim_end().len() - label.len());
            rest.truncate(rest.strip_suffix("最近").unwrap_or(&rest).len());
        }
        rest.push(' ');
    }
    found.dedup();
    let case_no = (found.len() == 1).then(|| found.swap_remove(0));
    (rest.trim().to_owned(), case_no)
}

/// The case number with which a run and those after it begin, and what is behind it: in one piece, or in the two that a
/// text for short variables says (00000-0901), with whatever hyphen a phone writes or a space.
fn number<'a>(run: &str, after: &'a [&'a str]) -> Option<(String, &'a [&'a str])> {
    const BETWEEN: [&str; 9] = ["-", "\u{2010}", "\u{2011}", "\u{2012}", "–", "—", "−", "\u{fe63}", " "];
    let known = |text: &str| text.parse::<IncidentId>().is_ok();
    if known(run) {
        return Some((run.to_owned(), after));
    }
    let gap = after.iter().take_while(|between| BETWEEN.contains(between)).count();
    let (tail, behind) = after.get(gap..)?.split_first().filter(|_| gap > 0)?;
    let whole = format!("{run}{tail}");
    (known(&whole) && head_and_tail(&whole) == (run, tail)).then_some((whole, behind))
}

/// Runs of ASCII letters and digits, and each other character by itself.
fn runs(text: &str) -> Vec<&str> {
    let ends = |c: char| !c.is_ascii_alphanumeric();
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if ends(first) { first.len_utf8() } else { rest.find(ends).unwrap_or(rest.len()) };
        let (run, behind) = rest.split_at(end);
        all.push(run);
        rest = behind;
    }
    all
}

/// Between punctuation, spaces and "but". Words of English stay together, and so does a sign with its number (-1, +1).
fn clauses(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut all = vec![String::new()];
    for (at, &c) in chars.iter().enumerate() {
        let beside = |n: Option<usize>, is: fn(&char) -> bool| n.and_then(|n| chars.get(n)).is_some_and(is);
        let (before, after) = (at.checked_sub(1), Some(at + 1));
        let english =
            c == ' ' && beside(before, char::is_ascii_alphabetic) && beside(after, char::is_ascii_alphabetic);
        let sign = matches!(c, '+' | '-' | '−') && beside(after, char::is_ascii_digit);
        let part_of_number = matches!(c, '.' | ':' | '/')
            && beside(before, char::is_ascii_digit)
            && beside(after, char::is_ascii_digit);
        match c {
            _ if c.is_alphanumeric() || sign || part_of_number => all.extend_last(c),
            _ if english => {}
            _ => all.push(String::new()),
        }
    }
    let split = |clause: String| {
        let but = ["但是", "不过", "可是", "但"].iter().find_map(|but| clause.split_once(but));
        but.map_or_else(|| vec![clause.clone()], |(one, other)| vec![one.to_owned(), other.to_owned()])
    };
    all.into_iter().flat_map(split).filter(|clause| !clause.is_empty()).collect()
}

trait ExtendLast {
    fn extend_last(&mut self, c: char);
}

impl ExtendLast for Vec<String> {
    fn extend_last(&mut self, c: char) {
        if let Some(last) = self.last_mut() {
            last.push(c);
        }
    }
}

/// What all clauses say together; `None`: not understood.
fn said(mut clauses: Vec<String>) -> Option<Says> {
    if clauses.len() > 1 && clauses.last().is_some_and(|last| signature(last)) {
        clauses.pop();
    }
    let mut all = Vec::new();
    for clause in &clauses {
        all.extend(words(clause)?);
    }
    all.retain(|word| *word != Word::Filler);
    all.sort_unstable();
    all.dedup();
    match all[..] {
        [Word::Received] => Some(Says::Acknowledged),
        [Word::No] | [Word::NotOurs] | [Word::No | Word::Received, Word::NotOurs] => Some(Says::NotOurs),
        [Word::Withdrawn] | [Word::Received, Word::Withdrawn] => Some(Says::WithdrawnClaim),
        _ => None,
    }
}

/// The phrases of a clause, with nothing left over.
fn words(clause: &str) -> Option<Vec<Word>> {
    if let Some(word) = phrase(clause, true) {
        return Some(vec![word]);
    }
    // The fewest characters first: what was split once is found again from each place at most.
    let ends: Vec<usize> = clause.char_indices().map(|(at, _)| at).skip(1).chain([clause.len()]).collect();
    let mut from: Vec<(usize, Vec<Word>)> = vec![(0, Vec::new())];
    for &end in &ends {
        let found = from.iter().find_map(|(start, before)| {
            let word = phrase(&clause[*start..end], false).filter(|_| apart(clause, *start, end))?;
            Some(before.iter().copied().chain([word]).collect())
        });
        from.extend(found.map(|words| (end, words)));
    }
    from.into_iter().find(|(end, _)| *end == clause.len() && *end > 0).map(|(_, words)| words)
}

/// Whether a phrase ends where it seems to: 1 is none in 12, nor ok in okra.
fn apart(clause: &str, start: usize, end: usize) -> bool {
    let latin = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inside = &clause[start..end];
    let glued = |out: Option<char>, edge: Option<char>| latin(out) && latin(edge);
    !glued(clause[..start].chars().next_back(), inside.chars().next())
        && !glued(clause[end..].chars().next(), inside.chars().next_back())
}

/// Who speaks, or is spoken of, before a verb.
const WE: [&str; 14] = [
    "我们单位",
    "我们公司",
    "我们厂",
    "我单位",
    "我公司",
    "本单位",
    "本公司",
    "我司",
    "我厂",
    "我方",
    "我们",
    "本人",
    "我",
    "",
];
const ALREADY: [&str; 6] = ["都已", "均已", "已经", "已", "都", ""];
const RECEIVE: [&str; 22] = [
    "收到",
    "收悉",
    "知道",
    "知悉",
    "知晓",
    "获悉",
    "了解",
    "明白",
    "清楚",
    "确认",
    "查收",
    "看到",
    "看过",
    "阅读",
    "阅知",
    "阅悉",
    "查阅",
    "接到",
    "确认收到",
    "收到确认",
    "知道确认",
    "收到知悉",
];
const OBJECT: [&str; 10] = ["通知", "短信", "信息", "消息", "提醒", "预警", "告知", "该信息", "此信息", ""];
const RECEIVED: [&str; 39] = [
    "1",
    "回1",
    "回复1",
    "回复1确认",
    "1确认",
    "确认1",
    "答复1",
    "回一",
    "回复一",
    "回复一确认",
    "回复数字1",
    "阅",
    "已阅",
    "已读",
    "已看",
    "看了",
    "已悉",
    "悉",
    "好",
    "好的",
    "好滴",
    "好嘞",
    "收到好的",
    "ok",
    "okay",
    "yes",
    "y",
    "received",
    "gotit",
    "got",
    "roger",
    "noted",
    "confirm",
    "confirmed",
    "ack",
    "acknowledged",
    "yesreceived",
    "okreceived",
    "okgotit",
];
const NOT: [&str; 7] = ["并不是", "根本不是", "不是", "并非", "不属于", "不属", "非"];
const OURS: [&str; 18] = [
    "我们单位",
    "我们公司",
    "我们企业",
    "我们厂",
    "我们村",
    "我单位",
    "我公司",
    "我企业",
    "我司",
    "我厂",
    "我村",
    "本单位",
    "本公司",
    "本企业",
    "本厂",
    "咱们单位",
    "咱单位",
    "咱厂",
];
const OF_OURS: [&str; 17] = [
    "的人",
    "的人员",
    "的员工",
    "的职工",
    "的工人",
    "的工伤",
    "的事",
    "的事故",
    "的案件",
    "员工",
    "职工",
    "工人",
    "人员",
    "发生的",
    "的",
    "了",
    "",
];
const THIS: [&str; 22] = [
    "这个员工",
    "这个人",
    "这个",
    "这起",
    "这人",
    "该员工",
    "该职工",
    "该工伤",
    "该人",
    "该案",
    "此工伤",
    "此人",
    "此案",
    "受伤人员",
    "伤者",
    "工伤",
    "他",
    "她",
    "该",
    "此",
    "这",
    "",
];
const NO: [&str; 6] = ["不是我们的", "不是我们", "不是我的", "不是我", "不是的", "不是"];
const NOT_OURS: [&str; 53] = [
    "发错",
    "发错了",
    "发错啦",
    "发错人",
    "发错人了",
    "发错号码",
    "发错号码了",
    "发错单位",
    "发错单位了",
    "你发错了",
    "你们发错了",
    "您发错了",
    "短信发错了",
    "信息发错了",
    "发错公司了",
    "发错公司",
    "号码错了",
    "号码错误",
    "号码不对",
    "手机号错了",
    "打错了",
    "搞错单位了",
    "弄错单位了",
    "搞错人了",
    "弄错人了",
    "单位错了",
    "单位搞错了",
    "单位弄错了",
    "不是本人",
    "我不是负责人",
    "不是负责人",
    "我不是法人",
    "我不是老板",
    "我已不是负责人",
    "我已不是法人",
    "我已离职",
    "我已经离职",
    "我离职了",
    "我已不在该单位",
    "我已不在这个单位",
    "我不在该单位了",
    "我不在这个单位了",
    "我不在这个公司了",
    "我单位没有这个人",
    "我们单位没有这个人",
    "我公司没有这个人",
    "我单位无此人",
    "我公司无此人",
    "与我单位无关",
    "和我单位无关",
    "跟我单位无关",
    "wrongnumber",
    "notours",
];
const CASE: [&str; 12] = [
    "工伤认定申请",
    "工伤申请",
    "该工伤",
    "工伤",
    "这个案子",
    "案件",
    "此案",
    "该案",
    "本案",
    "申请",
    "这个",
    "",
];
const WITHDRAW: [&str; 5] = ["撤销", "撤案", "撤回", "撤消", "取消"];
const SOON: [&str; 11] =
    ["马上", "立即", "立刻", "尽快", "正在", "抓紧", "已经", "已", "会", "一定", "我们马上"];
const DO: [&str; 9] = ["排查", "整改", "处理", "落实", "安排", "核查", "自查", "检查", "组织排查"];
const POLITE: [&str; 22] = [
    "回复",
    "回",
    "谢谢",
    "谢谢您",
    "谢谢你",
    "谢谢领导",
    "谢谢提醒",
    "多谢",
    "感谢",
    "感谢提醒",
    "辛苦了",
    "辛苦",
    "您好",
    "你好",
    "领导好",
    "领导",
    "请放心",
    "放心",
    "thanks",
    "thankyou",
    "hello",
    "hi",
];

/// The meaning of one phrase. `whole`: it is a clause by itself, so short words may stand for more.
fn phrase(text: &str, whole: bool) -> Option<Word> {
    let is = |list: &[&str]| list.contains(&text);
    if is(&RECEIVED) || received(text) {
        return Some(Word::Received);
    }
    if whole && is(&NO) {
        return Some(Word::No);
    }
    if is(&NOT_OURS) || chain(text, &[&THIS, &NOT, &OURS, &OF_OURS]) {
        return Some(Word::NotOurs);
    }
    if chain(text, &[&CASE, &["已", "已经"], &WITHDRAW, &["了", "工伤申请", "工伤", ""]])
        || is(&["撤销了", "撤回了", "撤案了"])
    {
        return Some(Word::Withdrawn);
    }
    let from_phone = whole && (text.starts_with("发自我的") || text.starts_with("来自我的"));
    (from_phone || is(&POLITE) || chain(text, &[&SOON, &DO, &["隐患", "了", ""]])).then_some(Word::Filler)
}

fn received(text: &str) -> bool {
    chain(text, &[&WE, &ALREADY, &RECEIVE, &["了", "啦", "哈", "哦", ""], &OBJECT, &["了", ""]])
}

/// Whether a text is one of each list, in their order.
fn chain(text: &str, lists: &[&[&str]]) -> bool {
    let Some((first, others)) = lists.split_first() else { return text.is_empty() };
    first.iter().any(|word| text.strip_prefix(word).is_some_and(|rest| chain(rest, others)))
}

/// A name, a firm or an office at the end of a message. Whose name it is cannot be seen from its end alone (是隔壁公司 is a
/// sentence): a firm's begins with its place and ends with its legal form, and nothing of a sentence is in any of them.
fn signature(clause: &str) -> bool {
    !sentence(clause)
        && !clause.contains(|c: char| c.is_ascii_alphanumeric())
        && (person(clause) || firm(clause) || office(clause))
}

/// Whether it has a character that denies, points at somebody or says what is done, which names do without; or says whose
/// the person is.
fn sentence(text: &str) -> bool {
    /// Of which firms are named here, though such a character is in them.
    const TRADES: [&str; 10] =
        ["金属", "不锈钢", "绝缘", "无缝", "无纺", "非标", "别墅", "给水", "转印", "无人机"];
    const WHOSE: [&str; 6] = ["隔壁", "外包", "施工方", "员工", "职工", "人员"];
    let text = TRADES.iter().fold(text.to_owned(), |text, trade| text.replace(trade, ""));
    const SAYS: &str =
        "不没非无别未撤错换改否假骗拒退谁何怎绝是的了在我你您他她它们这那该此请已属归给转找到去让叫问说";
    text.contains(|c| SAYS.contains(c)) || WHOSE.iter().any(|whose| text.contains(whose))
}

fn person(name: &str) -> bool {
    const SURNAMES: &str = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许邓冯韩曹曾彭萧蔡潘田董袁于余叶蒋杜苏魏程吕丁沈任姚\
        卢傅钟姜崔谭廖范汪陆金石戴贾韦夏邱方侯邹熊孟秦白江阎薛尹段雷黎史龙陶贺顾毛郝龚邵万钱严武施应楼骆吕颜厉";
    const TITLES: [&str; 8] = ["经理", "总", "厂长", "主任", "老板", "书记", "所长", "工"];
    /// 石材厂, 方岩镇 and 江西人 begin like a person.
    const NO_PERSON: &str = "厂司局所站店队部镇村区市县人";
    let bare = TITLES.iter().find_map(|title| name.strip_suffix(title)).unwrap_or(name);
    name.starts_with(|c| SURNAMES.contains(c))
        && (2..=4).contains(&name.chars().count())
        && bare.chars().count() <= 3
        && !bare.ends_with(|c| NO_PERSON.contains(c))
}

fn firm(name: &str) -> bool {
    const PLACES: [&str; 3] = ["浙江", "金华", "永康"];
    const FORMS: [&str; 5] = ["有限公司", "责任公司", "股份公司", "分公司", "厂"];
    PLACES.iter().any(|place| name.starts_with(place)) && FORMS.iter().any(|form| name.ends_with(form))
}

/// A township's, or one of its offices.
fn office(name: &str) -> bool {
    const OFFICES: [&str; 5] = ["", "办公室", "安监办", "应急所", "应急办"];
    let name = ["永康市", "永康"].iter().find_map(|city| name.strip_prefix(city)).unwrap_or(name);
    let is = |area: &str| name.strip_prefix(area).is_some_and(|rest| OFFICES.contains(&rest));
    areas::areas().iter().any(|area| is(area.name) || is(area.short_name))
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
