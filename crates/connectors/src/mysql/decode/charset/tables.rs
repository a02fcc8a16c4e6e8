//! Tables of single-byte character sets, above ASCII, as the servers convert them (both convert alike; taken from
//! `CONVERT(... USING utf32)` on MySQL 9.7 and MariaDB 10.11), and where multi-byte sets differ from those of
//! `encoding_rs`. U+FFFD stands where a set has no character.

/// Codes `first..=last` are characters from the third on, in a row.
pub(super) type Patch = (u32, u32, u32);

/// The characters of 0x80 to 0xff.
pub(super) fn single_byte(name: &str) -> Option<&'static [char; 128]> {
    Some(match name {
        "armscii8" => &ARMSCII8,
        "cp1250" => &CP1250,
        "cp1251" => &CP1251,
        "cp1256" => &CP1256,
        "cp1257" => &CP1257,
        "cp850" => &CP850,
        "cp852" => &CP852,
        "cp866" => &CP866,
        "dec8" => &DEC8,
        "geostd8" => &GEOSTD8,
        "greek" => &GREEK,
        "hebrew" => &HEBREW,
        "hp8" => &HP8,
        "keybcs2" => &KEYBCS2,
        "koi8r" => &KOI8R,
        "koi8u" => &KOI8U,
        "latin1" => &LATIN1,
        "latin2" => &LATIN2,
        "latin5" => &LATIN5,
        "latin7" => &LATIN7,
        "macce" => &MACCE,
        "macroman" => &MACROMAN,
        "tis620" => &TIS620,
        _ => return None,
    })
}

/// ASCII but for these.
pub(super) static SWE7: [(u8, char); 10] = [
    (0x40, 'É'),
    (0x5b, 'Ä'),
    (0x5c, 'Ö'),
    (0x5d, 'Å'),
    (0x5e, 'Ü'),
    (0x60, 'é'),
    (0x7b, 'ä'),
    (0x7c, 'ö'),
    (0x7d, 'å'),
    (0x7e, 'ü'),
];

/// Spells a table out of its text, when this is compiled.
const fn table(text: &str) -> [char; 128] {
    let (bytes, mut at, mut index) = (text.as_bytes(), 0, 0);
    let mut table = [char::REPLACEMENT_CHARACTER; 128];
    while index < 128 {
        let (length, mut code) = match bytes[at] {
            0..0x80 => (1, bytes[at] as u32),
            0x80..0xe0 => (2, bytes[at] as u32 & 0x1f),
            _ => (3, bytes[at] as u32 & 0x0f),
        };
        let mut rest = 1;
        while rest < length {
            code = code << 6 | bytes[at + rest] as u32 & 0x3f;
            rest += 1;
        }
        if let Some(character) = char::from_u32(code) {
            table[index] = character;
        }
        at += length;
        index += 1;
    }
    assert!(at == bytes.len(), "a table has 128 characters");
    table
}

static ARMSCII8: [char; 128] = table(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
     \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}❁§։)(»«—.՝,-՟…՜՛՞ԱաԲբԳգԴդԵեԶզԷէԸըԹթԺժԻիԼլԽխԾծԿկՀհՁձՂղՃճՄմՅյՆնՇշՈոՉչՊպՋջՌռՍսՎվՏտՐրՑցՒւՓփՔքՕ\
     օՖֆ’'",
);

static CP1250: [char; 128] = table(
    "€\u{fffd}‚\u{fffd}„…†‡\u{fffd}‰Š‹ŚŤŽŹ\u{fffd}‘’“”•–—\u{fffd}™š›śťžź\u{a0}ˇ˘Ł¤Ą¦§¨©Ş«¬\u{ad}®Ż°±˛\
     ł´µ¶·¸ąş»Ľ˝ľżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
);

static CP1251: [char; 128] = table(
    "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u{fffd}™љ›њќћџ\u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕїАБВГДЕЖЗИЙКЛМНО\
     ПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя",
);

static CP1256: [char; 128] = table(
    "€پ‚ƒ„…†‡ˆ‰\u{fffd}‹Œچژ\u{fffd}گ‘’“”•–—\u{fffd}™\u{fffd}›œ\u{200c}\u{200d}\u{fffd}\u{a0}،¢£¤¥¦§¨©\
     \u{fffd}«¬\u{ad}®¯°±²³´µ¶·¸¹؛»¼½¾؟\u{fffd}ءآأؤإئابةتثجحخدذرزسشصض×طظعغـفقكàلâمنهوçèéêëىيîï\u{64b}\
     \u{64c}\u{64d}\u{64e}ô\u{64f}\u{650}÷\u{651}ù\u{652}ûü\u{200e}\u{200f}\u{fffd}",
);

static CP1257: [char; 128] = table(
    "€\u{fffd}‚\u{fffd}„…†‡\u{fffd}‰\u{fffd}‹\u{fffd}¨ˇ¸\u{fffd}‘’“”•–—\u{fffd}™\u{fffd}›\u{fffd}¯˛\
     \u{fffd}\u{a0}\u{fffd}¢£¤\u{fffd}¦§Ø©Ŗ«¬\u{ad}®Æ°±²³´µ¶·ø¹ŗ»¼½¾æĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽß\
     ąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙",
);

static CP850: [char; 128] = table(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀\
     ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}",
);

static CP852: [char; 128] = table(
    "ÇüéâäůćçłëŐőîŹÄĆÉĹĺôöĽľŚśÖÜŤťŁ×čáíóúĄąŽžĘę¬źČş«»░▒▓│┤ÁÂĚŞ╣║╗╝Żż┐└┴┬├─┼Ăă╚╔╩╦╠═╬¤đĐĎËďŇÍÎě┘┌█▄ŢŮ▀\
     ÓßÔŃńňŠšŔÚŕŰýÝţ´\u{ad}˝˛ˇ˘§÷¸°¨˙űŘř■\u{a0}",
);

static CP866: [char; 128] = table(
    "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмноп░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
     рстуфхцчшщъыьэюяЁёЄєЇїЎў°∙·√ⁿ²■\u{a0}",
);

static DEC8: [char; 128] = table(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
     \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}¡¢£\u{fffd}¥\u{fffd}§¤©ª«\u{fffd}\u{fffd}\u{fffd}\u{fffd}°±²³\u{fffd}µ¶·\u{fffd}¹º»¼½\
     \u{fffd}¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏ\u{fffd}ÑÒÓÔÕÖŒØÙÚÛÜŸ\u{fffd}ßàáâãäåæçèéêëìíîï\u{fffd}ñòóôõöœøùúûüÿ\
     \u{fffd}\u{fffd}",
);

static GEOSTD8: [char; 128] = table(
    "€\u{fffd}‚\u{fffd}„…†‡\u{fffd}‰\u{fffd}‹\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}‘’“”•–—\u{fffd}\
     \u{fffd}\u{fffd}›\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿აბგდე\
     ვზჱთიკლმნჲოპჟრსტჳუფქღყშჩცძწჭხჴჯჰჵ\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\
     \u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\
     \u{fffd}\u{fffd}\u{fffd}\u{fffd}№\u{fffd}\u{fffd}",
);

static GREEK: [char; 128] = table(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
     \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}ʽʼ£\u{fffd}\u{fffd}¦§¨©\u{fffd}«¬\u{ad}\u{fffd}―°±²³΄΅Ά·ΈΉΊ»Ό½ΎΏΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ\u{fffd}\
     ΣΤΥΦΧΨΩΪΫάέήίΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώ\u{fffd}",
);

static HEBREW: [char; 128] = table(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
     \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}\u{fffd}¢£¤¥¦§¨©×«¬\u{ad}®‾°±²³´µ¶·¸¹÷»¼½¾\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\
     \u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\
     \u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\
     \u{fffd}\u{fffd}‗אבגדהוזחטיךכלםמןנסעףפץצקרשת\u{fffd}\u{fffd}\u{200e}\u{200f}\u{fffd}",
);

static HP8: [char; 128] = table(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
     \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}ÀÂÈÊËÎÏ´ˋˆ¨˜ÙÛ₤¯Ýý°ÇçÑñ¡¿¤£¥§ƒ¢âêôûáéóúàèòùäëöüÅîØÆåíøæÄìÖÜÉïßÔÁÃãÐðÍÌÓÒÕõŠšÚŸÿÞþ·µ¶¾—¼½ªº\
     «■»±\u{fffd}",
);

static KEYBCS2: [char; 128] = table(
    "ČüéďäĎŤčěĚĹÍľĺÄÁÉžŽôöÓůÚýÖÜŠĽÝŘťáíóúňŇŮÔšřŕŔ¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
     αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
);

static KOI8R: [char; 128] = table(
    "─│┌┐└┘├┤┬┴┼▀▄█▌▐░▒▓⌠■∙√≈≤≥\u{a0}⌡°²·÷═║╒ё╓╔╕╖╗╘╙╚╛╜╝╞╟╠╡Ё╢╣╤╥╦╧╨╩╪╫╬©юабцдефгхийклмнопярстужвьыз\
     шэщчъЮАБЦДЕФГХИЙКЛМНОПЯРСТУЖВЬЫЗШЭЩЧЪ",
);

static KOI8U: [char; 128] = table(
    "─│┌┐└┘├┤┬┴┼▀▄█▌▐░▒▓⌠■•√≈≤≥\u{a0}⌡°²·÷═║╒ёє╔ії╗╘╙╚╛ґ╝╞╟╠╡ЁЄ╣ІЇ╦╧╨╩╪Ґ╬©юабцдефгхийклмнопярстужвьыз\
     шэщчъЮАБЦДЕФГХИЙКЛМНОПЯРСТУЖВЬЫЗШЭЩЧЪ",
);

static LATIN1: [char; 128] = table(
    "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼\
     ½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
);

static LATIN2: [char; 128] = table(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
     \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u{ad}ŽŻ°ą˛ł´ľśˇ¸šşťź˝žżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôő\
     ö÷řůúűüýţ˙",
);

static LATIN5: [char; 128] = table(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
     \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞßàáâãäåæçèéêëìíîïğñòóôõ\
     ö÷øùúûüışÿ",
);

static LATIN7: [char; 128] = table(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
     \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}”¢£¤„¦§Ø©Ŗ«¬\u{ad}®Æ°±²³“µ¶·ø¹ŗ»¼½¾æĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽßąįāćäåęēčéźėģķīļšńņóōõ\
     ö÷ųłśūüżž’",
);

static MACCE: [char; 128] = table(
    "ÄĀāÉĄÖÜáąČäčĆćéŹźĎíďĒēĖóėôöõúĚěü†°Ę£§•¶ß®©™ę¨≠ģĮįĪ≤≥īĶ∂∑łĻļĽľĹĺŅņŃ¬√ńŇ∆«»…\u{a0}ňŐÕőŌ–—“”‘’÷◊ōŔŕ\
     Ř‹›řŖŗŠ‚„šŚśÁŤťÍŽžŪÓÔūŮÚůŰűŲųÝýķŻŁżĢˇ",
);

static MACROMAN: [char; 128] = table(
    "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄\
     €‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
);

static TIS620: [char; 128] = table(
    "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\
     \u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
     �กขฃคฅฆงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรฤลฦวศษสหฬอฮฯะ\u{e31}าำ\u{e34}\u{e35}\u{e36}\u{e37}\u{e38}\
     \u{e39}\u{e3a}����฿เแโใไๅๆ\u{e47}\u{e48}\u{e49}\u{e4a}\u{e4b}\u{e4c}\u{e4d}\u{e4e}๏๐๑๒๓๔๕๖๗๘๙๚๛�\
     ���",
);

#[rustfmt::skip]
pub(super) static BIG5: [Patch; 32] = [
    (0xa145, 0xa145, 0x2022), (0xa14e, 0xa14e, 0xff64), (0xa15a, 0xa15a, 0xfffd), (0xa1c2, 0xa1c2, 0x203e),
    (0xa1c3, 0xa1c3, 0xfffd), (0xa1c5, 0xa1c5, 0xfffd), (0xa1e3, 0xa1e3, 0x223c), (0xa1f2, 0xa1f2, 0x2641),
    (0xa1f3, 0xa1f3, 0x2609), (0xa1fe, 0xa1fe, 0xfffd), (0xa240, 0xa240, 0xfffd), (0xa241, 0xa241, 0xff0f),
    (0xa242, 0xa242, 0xff3c), (0xa244, 0xa244, 0xa5), (0xa246, 0xa247, 0xa2), (0xa2cc, 0xa2cc, 0xfffd),
    (0xa2ce, 0xa2ce, 0xfffd), (0xc6a1, 0xc6a1, 0x30fe), (0xc6a2, 0xc6a3, 0x309d), (0xc6a4, 0xc6a4, 0x3005),
    (0xc6a5, 0xc6f7, 0x3041), (0xc6f8, 0xc6fe, 0x30a1), (0xc740, 0xc77e, 0x30a8), (0xc7a1, 0xc7b0, 0x30e7),
    (0xc7b1, 0xc7b2, 0x414), (0xc7b3, 0xc7b3, 0x401), (0xc7b4, 0xc7ba, 0x416), (0xc7bb, 0xc7cd, 0x423),
    (0xc7ce, 0xc7ce, 0x451), (0xc7cf, 0xc7e8, 0x436), (0xc7e9, 0xc7f2, 0x2460), (0xc7f3, 0xc7fc, 0x2474),
];

#[rustfmt::skip]
pub(super) static SJIS: [Patch; 6] = [
    (0x815f, 0x815f, 0x5c), (0x8160, 0x8160, 0x301c), (0x8161, 0x8161, 0x2016), (0x817c, 0x817c, 0x2212),
    (0x8191, 0x8192, 0xa2), (0x81ca, 0x81ca, 0xac),
];

#[rustfmt::skip]
pub(super) static UJIS: [Patch; 27] = [
    (0xa1c0, 0xa1c0, 0x5c), (0xa1c1, 0xa1c1, 0x301c), (0xa1c2, 0xa1c2, 0x2016), (0xa1dd, 0xa1dd, 0x2212),
    (0xa1f1, 0xa1f2, 0xa2), (0xa2cc, 0xa2cc, 0xac), (0xf5a1, 0xf5fe, 0xe000), (0xf6a1, 0xf6fe, 0xe05e),
    (0xf7a1, 0xf7fe, 0xe0bc), (0xf8a1, 0xf8fe, 0xe11a), (0xf9a1, 0xf9fe, 0xe178), (0xfaa1, 0xfafe, 0xe1d6),
    (0xfba1, 0xfbfe, 0xe234), (0xfca1, 0xfcfe, 0xe292), (0xfda1, 0xfdfe, 0xe2f0), (0xfea1, 0xfefe, 0xe34e),
    (0x8fa2b7, 0x8fa2b7, 0x7e), (0x8ff5a1, 0x8ff5fe, 0xe3ac), (0x8ff6a1, 0x8ff6fe, 0xe40a),
    (0x8ff7a1, 0x8ff7fe, 0xe468), (0x8ff8a1, 0x8ff8fe, 0xe4c6), (0x8ff9a1, 0x8ff9fe, 0xe524),
    (0x8ffaa1, 0x8ffafe, 0xe582), (0x8ffba1, 0x8ffbfe, 0xe5e0), (0x8ffca1, 0x8ffcfe, 0xe63e),
    (0x8ffda1, 0x8ffdfe, 0xe69c), (0x8ffea1, 0x8ffefe, 0xe6fa),
];

#[rustfmt::skip]
pub(super) static EUCJPMS: [Patch; 97] = [
    (0xf5a1, 0xf5fe, 0xe000), (0xf6a1, 0xf6fe, 0xe05e), (0xf7a1, 0xf7fe, 0xe0bc), (0xf8a1, 0xf8fe, 0xe11a),
    (0xf9a1, 0xf9fe, 0xe178), (0xfaa1, 0xfafe, 0xe1d6), (0xfba1, 0xfbfe, 0xe234), (0xfca1, 0xfcfe, 0xe292),
    (0xfda1, 0xfdfe, 0xe2f0), (0xfea1, 0xfefe, 0xe34e), (0x8fa2c3, 0x8fa2c3, 0xffe4),
    (0x8ff3f3, 0x8ff3fc, 0x2170), (0x8ff3fd, 0x8ff3fe, 0x2160), (0x8ff4a1, 0x8ff4a8, 0x2162),
    (0x8ff4a9, 0x8ff4a9, 0xff07), (0x8ff4aa, 0x8ff4aa, 0xff02), (0x8ff4ab, 0x8ff4ab, 0x3231),
    (0x8ff4ac, 0x8ff4ac, 0x2116), (0x8ff4ad, 0x8ff4ad, 0x2121), (0x8ff4ae, 0x8ff4ae, 0x70bb),
    (0x8ff4af, 0x8ff4af, 0x4efc), (0x8ff4b0, 0x8ff4b0, 0x50f4), (0x8ff4b1, 0x8ff4b1, 0x51ec),
    (0x8ff4b2, 0x8ff4b2, 0x5307), (0x8ff4b3, 0x8ff4b3, 0x5324), (0x8ff4b4, 0x8ff4b4, 0xfa0e),
    (0x8ff4b5, 0x8ff4b5, 0x548a), (0x8ff4b6, 0x8ff4b6, 0x5759), (0x8ff4b7, 0x8ff4b8, 0xfa0f),
    (0x8ff4b9, 0x8ff4b9, 0x589e), (0x8ff4ba, 0x8ff4ba, 0x5bec), (0x8ff4bb, 0x8ff4bb, 0x5cf5),
    (0x8ff4bc, 0x8ff4bc, 0x5d53), (0x8ff4bd, 0x8ff4bd, 0xfa11), (0x8ff4be, 0x8ff4be, 0x5fb7),
    (0x8ff4bf, 0x8ff4bf, 0x6085), (0x8ff4c0, 0x8ff4c0, 0x6120), (0x8ff4c1, 0x8ff4c1, 0x654e),
    (0x8ff4c2, 0x8ff4c2, 0x663b), (0x8ff4c3, 0x8ff4c3, 0x6665), (0x8ff4c4, 0x8ff4c4, 0xfa12),
    (0x8ff4c5, 0x8ff4c5, 0xf929), (0x8ff4c6, 0x8ff4c6, 0x6801), (0x8ff4c7, 0x8ff4c8, 0xfa13),
    (0x8ff4c9, 0x8ff4c9, 0x6a6b), (0x8ff4ca, 0x8ff4ca, 0x6ae2), (0x8ff4cb, 0x8ff4cb, 0x6df8),
    (0x8ff4cc, 0x8ff4cc, 0x6df2), (0x8ff4cd, 0x8ff4cd, 0x7028), (0x8ff4ce, 0x8ff4cf, 0xfa15),
    (0x8ff4d0, 0x8ff4d0, 0x7501), (0x8ff4d1, 0x8ff4d1, 0x7682), (0x8ff4d2, 0x8ff4d2, 0x769e),
    (0x8ff4d3, 0x8ff4d3, 0xfa17), (0x8ff4d4, 0x8ff4d4, 0x7930), (0x8ff4d5, 0x8ff4d8, 0xfa18),
    (0x8ff4d9, 0x8ff4d9, 0x7ae7), (0x8ff4da, 0x8ff4db, 0xfa1c), (0x8ff4dc, 0x8ff4dc, 0x7da0),
    (0x8ff4dd, 0x8ff4dd, 0x7dd6), (0x8ff4de, 0x8ff4de, 0xfa1e), (0x8ff4df, 0x8ff4df, 0x8362),
    (0x8ff4e0, 0x8ff4e0, 0xfa1f), (0x8ff4e1, 0x8ff4e1, 0x85b0), (0x8ff4e2, 0x8ff4e3, 0xfa20),
    (0x8ff4e4, 0x8ff4e4, 0x8807), (0x8ff4e5, 0x8ff4e5, 0xfa22), (0x8ff4e6, 0x8ff4e6, 0x8b7f),
    (0x8ff4e7, 0x8ff4e7, 0x8cf4), (0x8ff4e8, 0x8ff4e8, 0x8d76), (0x8ff4e9, 0x8ff4eb, 0xfa23),
    (0x8ff4ec, 0x8ff4ec, 0x90de), (0x8ff4ed, 0x8ff4ed, 0xfa26), (0x8ff4ee, 0x8ff4ee, 0x9115),
    (0x8ff4ef, 0x8ff4f0, 0xfa27), (0x8ff4f1, 0x8ff4f1, 0x9592), (0x8ff4f2, 0x8ff4f2, 0xf9dc),
    (0x8ff4f3, 0x8ff4f3, 0xfa29), (0x8ff4f4, 0x8ff4f4, 0x973b), (0x8ff4f5, 0x8ff4f5, 0x974d),
    (0x8ff4f6, 0x8ff4f6, 0x9751), (0x8ff4f7, 0x8ff4f9, 0xfa2a), (0x8ff4fa, 0x8ff4fa, 0x999e),
    (0x8ff4fb, 0x8ff4fb, 0x9ad9), (0x8ff4fc, 0x8ff4fc, 0x9b72), (0x8ff4fd, 0x8ff4fd, 0xfa2d),
    (0x8ff4fe, 0x8ff4fe, 0x9ed1), (0x8ff5a1, 0x8ff5fe, 0xe3ac), (0x8ff6a1, 0x8ff6fe, 0xe40a),
    (0x8ff7a1, 0x8ff7fe, 0xe468), (0x8ff8a1, 0x8ff8fe, 0xe4c6), (0x8ff9a1, 0x8ff9fe, 0xe524),
    (0x8ffaa1, 0x8ffafe, 0xe582), (0x8ffba1, 0x8ffbfe, 0xe5e0), (0x8ffca1, 0x8ffcfe, 0xe63e),
    (0x8ffda1, 0x8ffdfe, 0xe69c), (0x8ffea1, 0x8ffefe, 0xe6fa),
];

#[rustfmt::skip]
pub(super) static GB2312: [Patch; 2] = [
    (0xa1a4, 0xa1a4, 0x30fb), (0xa1aa, 0xa1aa, 0x2015),
];

#[rustfmt::skip]
pub(super) static GB18030: [Patch; 11] = [
    (0xa3a0, 0xa3a0, 0xe5e5), (0xa6d9, 0xa6df, 0xe78d), (0xa6ec, 0xa6ed, 0xe794), (0xa6f3, 0xa6f3, 0xe796),
    (0xfe59, 0xfe59, 0xe81e), (0xfe61, 0xfe61, 0xe826), (0xfe66, 0xfe67, 0xe82b), (0xfe6d, 0xfe6d, 0xe832),
    (0xfe7e, 0xfe7e, 0xe843), (0xfe90, 0xfe90, 0xe854), (0xfea0, 0xfea0, 0xe864),
];
