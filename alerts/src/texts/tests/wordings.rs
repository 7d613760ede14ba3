//! The wordings that are delivered, against people.md section 5.3.

use super::super::*;
use Template::{T1, T2, T3, T4, T5, T6, T7, T8, T9, T10, T11, T12};

/// Id, wording and `max chars` of people.md, copied from there.
const PEOPLE: [(Template, &str, usize); 12] = [
    (
        T1,
        "【永康人社】贵单位{M}月{D}日登记工伤1起（{cause}），本年累计{n}起。请立即排查隐患，回复1确认。编号{id}",
        64,
    ),
    (
        T2,
        "【永康应急】贵单位{M}月{D}日发生{sev}事故（{cause}）。请保护现场、依法报告并配合调查。编号{id}",
        59,
    ),
    (T3, "【永康人社】更正：编号{id}工伤信息已{act}，本年累计更正为{n}起，以本条为准。", 47),
    (T4, "【永康安委办】多发岗位告知书{id}已下发，请于{M}月{D}日前提交整改报告。", 44),
    (T5, "【永康安委办】告知书{id}整改报告还有{k}天到期（{M}月{D}日），请尽快提交。已提交请忽略。", 53),
    (T6, "【永康安委办】告知书{id}整改报告已逾期，将按规定列为重点监管，请立即补交或说明。", 48),
    (T7, "【永康工伤预警】{town}：{ent}近{w}天{n}起工伤，达{lv}预警，请24小时内核查。单号{id}", 67),
    (T8, "【永康工伤预警】{town}：{ent}发生{sev}事故1起，请立即牵头处置。单号{id}", 59),
    (
        T9,
        "【永康安委办】贵单位四个月复核未达标，列入全市重点监管挂牌督办。有异议请于10日内提出。编号{id}",
        56,
    ),
    (T10, "【工伤平台】{src}数据已中断{k}小时，末条{hm}。请值班处理。", 34),
    (T11, "【永康工伤预警】更正：{town}{ent}近{w}天工伤更正为{n}起，预警{act}，以本条为准。单号{id}", 62),
    (T12, "【永康人社】更正：编号{id}工伤的伤情已更正为{sev}，以本条为准。", 40),
];

#[test]
fn every_wording_is_that_of_people_md() {
    for (template, expected, _) in PEOPLE {
        let texts = Texts::built_in();
        let (id, wording) = texts.wordings(template).next().unwrap();
        // A gateway takes no two slots side by side: the two are one slot, and the text is the same.
        assert_eq!(wording.in_short().replace("{town_ent}", "{town}{ent}"), expected, "{id}");
    }
}

/// What people.md fills in for its longest: no year, 3 digits of counts and days, 2 of hours and days left, a
/// town of 5, an enterprise of 14, a number of 10 characters.
fn people_fills(slot: &str) -> usize {
    match slot {
        "M" | "D" | "k" | "lv" | "act" => 2,
        "n" | "w" => 3,
        "sev" | "src" => 4,
        "cause" | "town" | "hm" => 5,
        "id" => 10,
        "ent" => 14,
        other => panic!("people.md has no {other}"),
    }
}

#[test]
fn the_lengths_are_those_of_people_md_where_its_own_sums_agree() {
    for (template, wording, most) in PEOPLE {
        let mut words = wording.to_owned();
        let mut chars = 0;
        while let Some((before, rest)) = words.split_once('{') {
            let (slot, after) = rest.split_once('}').unwrap();
            chars += people_fills(slot);
            words = format!("{before}{after}");
        }
        chars += words.chars().count();
        // people.md counts T11 6 shorter (its act and area need more room than it leaves), and T12 1 shorter.
        let differs = match template {
            T11 => 6,
            T12 => 1,
            _ => 0,
        };
        assert_eq!(chars, most + differs, "{}", template.id());
    }
}

#[test]
fn with_the_longest_values_each_is_one_segment_and_this_long() {
    let page: String = Template::ALL
        .into_iter()
        .flat_map(|template| {
            Texts::built_in().wordings(template).map(|(id, w)| (template, id, w.clone())).collect::<Vec<_>>()
        })
        .map(|(template, id, wording)| {
            let (text, _) =
                wording.fill(template, None, |slot, most| Ok(slot.longest(template, most))).unwrap();
            let chars = text.chars().count();
            assert!(chars <= LIMIT, "{id} {chars}");
            format!("{id} {chars} {text}\n")
        })
        .collect();
    insta::assert_snapshot!(page);
}

#[test]
fn no_file_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap().replace(".jinja", ""))
        .collect();
    let mut built_in: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    files.sort();
    built_in.sort_unstable();
    assert_eq!(files, built_in);
}
