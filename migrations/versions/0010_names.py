"""Names are one in the schema as in the code: one function normalises them, triggers call it, old rows are made so.

Beside it: the validation of a tax id, on carts and frozen with the price lock. What becomes of a row whose name was
another spelling of one that is taken is logged as a warning, row by row. Nothing is merged: of two skus, locations or
coupons the later is called `...-2`.
"""

import logging

import pycountry
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

log = logging.getLogger("alembic.runtime.migration")

NORMALIZE_NAME = r"""
CREATE FUNCTION normalize_name(kind text, value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    blanks CONSTANT text := E'\u0009\u000a\u000b\u000c\u000d\u001c\u001d\u001e\u001f\u0020\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u2800\u3000';
    invisible CONSTANT text := E'\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008\u000e\u000f\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u007f\u0080\u0081\u0082\u0083\u0084\u0086\u0087\u0088\u0089\u008a\u008b\u008c\u008d\u008e\u008f\u0090\u0091\u0092\u0093\u0094\u0095\u0096\u0097\u0098\u0099\u009a\u009b\u009c\u009d\u009e\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2065\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\u3164\ufe00\ufe01\ufe02\ufe03\ufe04\ufe05\ufe06\ufe07\ufe08\ufe09\ufe0a\ufe0b\ufe0c\ufe0d\ufe0e\ufe0f\ufeff\uffa0\ufff0\ufff1\ufff2\ufff3\ufff4\ufff5\ufff6\ufff7\ufff8\ufff9\ufffa\ufffb\U0001bca0\U0001bca1\U0001bca2\U0001bca3\U0001d173\U0001d174\U0001d175\U0001d176\U0001d177\U0001d178\U0001d179\U0001d17a\U000e0001\U000e0020\U000e0021\U000e0022\U000e0023\U000e0024\U000e0025\U000e0026\U000e0027\U000e0028\U000e0029\U000e002a\U000e002b\U000e002c\U000e002d\U000e002e\U000e002f\U000e0030\U000e0031\U000e0032\U000e0033\U000e0034\U000e0035\U000e0036\U000e0037\U000e0038\U000e0039\U000e003a\U000e003b\U000e003c\U000e003d\U000e003e\U000e003f\U000e0040\U000e0041\U000e0042\U000e0043\U000e0044\U000e0045\U000e0046\U000e0047\U000e0048\U000e0049\U000e004a\U000e004b\U000e004c\U000e004d\U000e004e\U000e004f\U000e0050\U000e0051\U000e0052\U000e0053\U000e0054\U000e0055\U000e0056\U000e0057\U000e0058\U000e0059\U000e005a\U000e005b\U000e005c\U000e005d\U000e005e\U000e005f\U000e0060\U000e0061\U000e0062\U000e0063\U000e0064\U000e0065\U000e0066\U000e0067\U000e0068\U000e0069\U000e006a\U000e006b\U000e006c\U000e006d\U000e006e\U000e006f\U000e0070\U000e0071\U000e0072\U000e0073\U000e0074\U000e0075\U000e0076\U000e0077\U000e0078\U000e0079\U000e007a\U000e007b\U000e007c\U000e007d\U000e007e\U000e007f\U000e0100\U000e0101\U000e0102\U000e0103\U000e0104\U000e0105\U000e0106\U000e0107\U000e0108\U000e0109\U000e010a\U000e010b\U000e010c\U000e010d\U000e010e\U000e010f\U000e0110\U000e0111\U000e0112\U000e0113\U000e0114\U000e0115\U000e0116\U000e0117\U000e0118\U000e0119\U000e011a\U000e011b\U000e011c\U000e011d\U000e011e\U000e011f\U000e0120\U000e0121\U000e0122\U000e0123\U000e0124\U000e0125\U000e0126\U000e0127\U000e0128\U000e0129\U000e012a\U000e012b\U000e012c\U000e012d\U000e012e\U000e012f\U000e0130\U000e0131\U000e0132\U000e0133\U000e0134\U000e0135\U000e0136\U000e0137\U000e0138\U000e0139\U000e013a\U000e013b\U000e013c\U000e013d\U000e013e\U000e013f\U000e0140\U000e0141\U000e0142\U000e0143\U000e0144\U000e0145\U000e0146\U000e0147\U000e0148\U000e0149\U000e014a\U000e014b\U000e014c\U000e014d\U000e014e\U000e014f\U000e0150\U000e0151\U000e0152\U000e0153\U000e0154\U000e0155\U000e0156\U000e0157\U000e0158\U000e0159\U000e015a\U000e015b\U000e015c\U000e015d\U000e015e\U000e015f\U000e0160\U000e0161\U000e0162\U000e0163\U000e0164\U000e0165\U000e0166\U000e0167\U000e0168\U000e0169\U000e016a\U000e016b\U000e016c\U000e016d\U000e016e\U000e016f\U000e0170\U000e0171\U000e0172\U000e0173\U000e0174\U000e0175\U000e0176\U000e0177\U000e0178\U000e0179\U000e017a\U000e017b\U000e017c\U000e017d\U000e017e\U000e017f\U000e0180\U000e0181\U000e0182\U000e0183\U000e0184\U000e0185\U000e0186\U000e0187\U000e0188\U000e0189\U000e018a\U000e018b\U000e018c\U000e018d\U000e018e\U000e018f\U000e0190\U000e0191\U000e0192\U000e0193\U000e0194\U000e0195\U000e0196\U000e0197\U000e0198\U000e0199\U000e019a\U000e019b\U000e019c\U000e019d\U000e019e\U000e019f\U000e01a0\U000e01a1\U000e01a2\U000e01a3\U000e01a4\U000e01a5\U000e01a6\U000e01a7\U000e01a8\U000e01a9\U000e01aa\U000e01ab\U000e01ac\U000e01ad\U000e01ae\U000e01af\U000e01b0\U000e01b1\U000e01b2\U000e01b3\U000e01b4\U000e01b5\U000e01b6\U000e01b7\U000e01b8\U000e01b9\U000e01ba\U000e01bb\U000e01bc\U000e01bd\U000e01be\U000e01bf\U000e01c0\U000e01c1\U000e01c2\U000e01c3\U000e01c4\U000e01c5\U000e01c6\U000e01c7\U000e01c8\U000e01c9\U000e01ca\U000e01cb\U000e01cc\U000e01cd\U000e01ce\U000e01cf\U000e01d0\U000e01d1\U000e01d2\U000e01d3\U000e01d4\U000e01d5\U000e01d6\U000e01d7\U000e01d8\U000e01d9\U000e01da\U000e01db\U000e01dc\U000e01dd\U000e01de\U000e01df\U000e01e0\U000e01e1\U000e01e2\U000e01e3\U000e01e4\U000e01e5\U000e01e6\U000e01e7\U000e01e8\U000e01e9\U000e01ea\U000e01eb\U000e01ec\U000e01ed\U000e01ee\U000e01ef';
BEGIN
    IF kind = 'seen' THEN
        value := normalize(translate(normalize(value, NFC), blanks || invisible, repeat(' ', length(blanks))), NFC);
    ELSE
        value := translate(normalize(value, NFKC), E'\u0041\u0042\u0043\u0044\u0045\u0046\u0047\u0048\u0049\u004a\u004b\u004c\u004d\u004e\u004f\u0050\u0051\u0052\u0053\u0054\u0055\u0056\u0057\u0058\u0059\u005a\u00c0\u00c1\u00c2\u00c3\u00c4\u00c5\u00c6\u00c7\u00c8\u00c9\u00ca\u00cb\u00cc\u00cd\u00ce\u00cf\u00d0\u00d1\u00d2\u00d3\u00d4\u00d5\u00d6\u00d8\u00d9\u00da\u00db\u00dc\u00dd\u00de\u0100\u0102\u0104\u0106\u0108\u010a\u010c\u010e\u0110\u0112\u0114\u0116\u0118\u011a\u011c\u011e\u0120\u0122\u0124\u0126\u0128\u012a\u012c\u012e\u0134\u0136\u0139\u013b\u013d\u0141\u0143\u0145\u0147\u014a\u014c\u014e\u0150\u0152\u0154\u0156\u0158\u015a\u015c\u015e\u0160\u0162\u0164\u0166\u0168\u016a\u016c\u016e\u0170\u0172\u0174\u0176\u0178\u0179\u017b\u017d\u0181\u0182\u0184\u0186\u0187\u0189\u018a\u018b\u018e\u018f\u0190\u0191\u0193\u0194\u0196\u0197\u0198\u019c\u019d\u019f\u01a0\u01a2\u01a4\u01a6\u01a7\u01a9\u01ac\u01ae\u01af\u01b1\u01b2\u01b3\u01b5\u01b7\u01b8\u01bc\u01cd\u01cf\u01d1\u01d3\u01d5\u01d7\u01d9\u01db\u01de\u01e0\u01e2\u01e4\u01e6\u01e8\u01ea\u01ec\u01ee\u01f4\u01f6\u01f7\u01f8\u01fa\u01fc\u01fe\u0200\u0202\u0204\u0206\u0208\u020a\u020c\u020e\u0210\u0212\u0214\u0216\u0218\u021a\u021c\u021e\u0220\u0222\u0224\u0226\u0228\u022a\u022c\u022e\u0230\u0232\u023a\u023b\u023d\u023e\u0241\u0243\u0244\u0245\u0246\u0248\u024a\u024c\u024e\u0370\u0372\u0376\u037f\u0386\u0388\u0389\u038a\u038c\u038e\u038f\u0391\u0392\u0393\u0394\u0395\u0396\u0397\u0398\u0399\u039a\u039b\u039c\u039d\u039e\u039f\u03a0\u03a1\u03a3\u03a4\u03a5\u03a6\u03a7\u03a8\u03a9\u03aa\u03ab\u03c2\u03cf\u03d8\u03da\u03dc\u03de\u03e0\u03e2\u03e4\u03e6\u03e8\u03ea\u03ec\u03ee\u03f7\u03fa\u03fd\u03fe\u03ff\u0400\u0401\u0402\u0403\u0404\u0405\u0406\u0407\u0408\u0409\u040a\u040b\u040c\u040d\u040e\u040f\u0410\u0411\u0412\u0413\u0414\u0415\u0416\u0417\u0418\u0419\u041a\u041b\u041c\u041d\u041e\u041f\u0420\u0421\u0422\u0423\u0424\u0425\u0426\u0427\u0428\u0429\u042a\u042b\u042c\u042d\u042e\u042f\u0460\u0462\u0464\u0466\u0468\u046a\u046c\u046e\u0470\u0472\u0474\u0476\u0478\u047a\u047c\u047e\u0480\u048a\u048c\u048e\u0490\u0492\u0494\u0496\u0498\u049a\u049c\u049e\u04a0\u04a2\u04a4\u04a6\u04a8\u04aa\u04ac\u04ae\u04b0\u04b2\u04b4\u04b6\u04b8\u04ba\u04bc\u04be\u04c0\u04c1\u04c3\u04c5\u04c7\u04c9\u04cb\u04cd\u04d0\u04d2\u04d4\u04d6\u04d8\u04da\u04dc\u04de\u04e0\u04e2\u04e4\u04e6\u04e8\u04ea\u04ec\u04ee\u04f0\u04f2\u04f4\u04f6\u04f8\u04fa\u04fc\u04fe\u0500\u0502\u0504\u0506\u0508\u050a\u050c\u050e\u0510\u0512\u0514\u0516\u0518\u051a\u051c\u051e\u0520\u0522\u0524\u0526\u0528\u052a\u052c\u052e\u0531\u0532\u0533\u0534\u0535\u0536\u0537\u0538\u0539\u053a\u053b\u053c\u053d\u053e\u053f\u0540\u0541\u0542\u0543\u0544\u0545\u0546\u0547\u0548\u0549\u054a\u054b\u054c\u054d\u054e\u054f\u0550\u0551\u0552\u0553\u0554\u0555\u0556\u1e00\u1e02\u1e04\u1e06\u1e08\u1e0a\u1e0c\u1e0e\u1e10\u1e12\u1e14\u1e16\u1e18\u1e1a\u1e1c\u1e1e\u1e20\u1e22\u1e24\u1e26\u1e28\u1e2a\u1e2c\u1e2e\u1e30\u1e32\u1e34\u1e36\u1e38\u1e3a\u1e3c\u1e3e\u1e40\u1e42\u1e44\u1e46\u1e48\u1e4a\u1e4c\u1e4e\u1e50\u1e52\u1e54\u1e56\u1e58\u1e5a\u1e5c\u1e5e\u1e60\u1e62\u1e64\u1e66\u1e68\u1e6a\u1e6c\u1e6e\u1e70\u1e72\u1e74\u1e76\u1e78\u1e7a\u1e7c\u1e7e\u1e80\u1e82\u1e84\u1e86\u1e88\u1e8a\u1e8c\u1e8e\u1e90\u1e92\u1e94\u1e9e\u1ea0\u1ea2\u1ea4\u1ea6\u1ea8\u1eaa\u1eac\u1eae\u1eb0\u1eb2\u1eb4\u1eb6\u1eb8\u1eba\u1ebc\u1ebe\u1ec0\u1ec2\u1ec4\u1ec6\u1ec8\u1eca\u1ecc\u1ece\u1ed0\u1ed2\u1ed4\u1ed6\u1ed8\u1eda\u1edc\u1ede\u1ee0\u1ee2\u1ee4\u1ee6\u1ee8\u1eea\u1eec\u1eee\u1ef0\u1ef2\u1ef4\u1ef6\u1ef8\u1efa\u1efc\u1efe\u1f08\u1f09\u1f0a\u1f0b\u1f0c\u1f0d\u1f0e\u1f0f\u1f18\u1f19\u1f1a\u1f1b\u1f1c\u1f1d\u1f28\u1f29\u1f2a\u1f2b\u1f2c\u1f2d\u1f2e\u1f2f\u1f38\u1f39\u1f3a\u1f3b\u1f3c\u1f3d\u1f3e\u1f3f\u1f48\u1f49\u1f4a\u1f4b\u1f4c\u1f4d\u1f59\u1f5b\u1f5d\u1f5f\u1f68\u1f69\u1f6a\u1f6b\u1f6c\u1f6d\u1f6e\u1f6f\u1f88\u1f89\u1f8a\u1f8b\u1f8c\u1f8d\u1f8e\u1f8f\u1f98\u1f99\u1f9a\u1f9b\u1f9c\u1f9d\u1f9e\u1f9f\u1fa8\u1fa9\u1faa\u1fab\u1fac\u1fad\u1fae\u1faf\u1fb8\u1fb9\u1fba\u1fbc\u1fc8\u1fca\u1fcc\u1fd8\u1fd9\u1fda\u1fe8\u1fe9\u1fea\u1fec\u1ff8\u1ffa\u1ffc\u0130\u0131' || invisible, E'\u0061\u0062\u0063\u0064\u0065\u0066\u0067\u0068\u0069\u006a\u006b\u006c\u006d\u006e\u006f\u0070\u0071\u0072\u0073\u0074\u0075\u0076\u0077\u0078\u0079\u007a\u00e0\u00e1\u00e2\u00e3\u00e4\u00e5\u00e6\u00e7\u00e8\u00e9\u00ea\u00eb\u00ec\u00ed\u00ee\u00ef\u00f0\u00f1\u00f2\u00f3\u00f4\u00f5\u00f6\u00f8\u00f9\u00fa\u00fb\u00fc\u00fd\u00fe\u0101\u0103\u0105\u0107\u0109\u010b\u010d\u010f\u0111\u0113\u0115\u0117\u0119\u011b\u011d\u011f\u0121\u0123\u0125\u0127\u0129\u012b\u012d\u012f\u0135\u0137\u013a\u013c\u013e\u0142\u0144\u0146\u0148\u014b\u014d\u014f\u0151\u0153\u0155\u0157\u0159\u015b\u015d\u015f\u0161\u0163\u0165\u0167\u0169\u016b\u016d\u016f\u0171\u0173\u0175\u0177\u00ff\u017a\u017c\u017e\u0253\u0183\u0185\u0254\u0188\u0256\u0257\u018c\u01dd\u0259\u025b\u0192\u0260\u0263\u0269\u0268\u0199\u026f\u0272\u0275\u01a1\u01a3\u01a5\u0280\u01a8\u0283\u01ad\u0288\u01b0\u028a\u028b\u01b4\u01b6\u0292\u01b9\u01bd\u01ce\u01d0\u01d2\u01d4\u01d6\u01d8\u01da\u01dc\u01df\u01e1\u01e3\u01e5\u01e7\u01e9\u01eb\u01ed\u01ef\u01f5\u0195\u01bf\u01f9\u01fb\u01fd\u01ff\u0201\u0203\u0205\u0207\u0209\u020b\u020d\u020f\u0211\u0213\u0215\u0217\u0219\u021b\u021d\u021f\u019e\u0223\u0225\u0227\u0229\u022b\u022d\u022f\u0231\u0233\u2c65\u023c\u019a\u2c66\u0242\u0180\u0289\u028c\u0247\u0249\u024b\u024d\u024f\u0371\u0373\u0377\u03f3\u03ac\u03ad\u03ae\u03af\u03cc\u03cd\u03ce\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7\u03b8\u03b9\u03ba\u03bb\u03bc\u03bd\u03be\u03bf\u03c0\u03c1\u03c3\u03c4\u03c5\u03c6\u03c7\u03c8\u03c9\u03ca\u03cb\u03c3\u03d7\u03d9\u03db\u03dd\u03df\u03e1\u03e3\u03e5\u03e7\u03e9\u03eb\u03ed\u03ef\u03f8\u03fb\u037b\u037c\u037d\u0450\u0451\u0452\u0453\u0454\u0455\u0456\u0457\u0458\u0459\u045a\u045b\u045c\u045d\u045e\u045f\u0430\u0431\u0432\u0433\u0434\u0435\u0436\u0437\u0438\u0439\u043a\u043b\u043c\u043d\u043e\u043f\u0440\u0441\u0442\u0443\u0444\u0445\u0446\u0447\u0448\u0449\u044a\u044b\u044c\u044d\u044e\u044f\u0461\u0463\u0465\u0467\u0469\u046b\u046d\u046f\u0471\u0473\u0475\u0477\u0479\u047b\u047d\u047f\u0481\u048b\u048d\u048f\u0491\u0493\u0495\u0497\u0499\u049b\u049d\u049f\u04a1\u04a3\u04a5\u04a7\u04a9\u04ab\u04ad\u04af\u04b1\u04b3\u04b5\u04b7\u04b9\u04bb\u04bd\u04bf\u04cf\u04c2\u04c4\u04c6\u04c8\u04ca\u04cc\u04ce\u04d1\u04d3\u04d5\u04d7\u04d9\u04db\u04dd\u04df\u04e1\u04e3\u04e5\u04e7\u04e9\u04eb\u04ed\u04ef\u04f1\u04f3\u04f5\u04f7\u04f9\u04fb\u04fd\u04ff\u0501\u0503\u0505\u0507\u0509\u050b\u050d\u050f\u0511\u0513\u0515\u0517\u0519\u051b\u051d\u051f\u0521\u0523\u0525\u0527\u0529\u052b\u052d\u052f\u0561\u0562\u0563\u0564\u0565\u0566\u0567\u0568\u0569\u056a\u056b\u056c\u056d\u056e\u056f\u0570\u0571\u0572\u0573\u0574\u0575\u0576\u0577\u0578\u0579\u057a\u057b\u057c\u057d\u057e\u057f\u0580\u0581\u0582\u0583\u0584\u0585\u0586\u1e01\u1e03\u1e05\u1e07\u1e09\u1e0b\u1e0d\u1e0f\u1e11\u1e13\u1e15\u1e17\u1e19\u1e1b\u1e1d\u1e1f\u1e21\u1e23\u1e25\u1e27\u1e29\u1e2b\u1e2d\u1e2f\u1e31\u1e33\u1e35\u1e37\u1e39\u1e3b\u1e3d\u1e3f\u1e41\u1e43\u1e45\u1e47\u1e49\u1e4b\u1e4d\u1e4f\u1e51\u1e53\u1e55\u1e57\u1e59\u1e5b\u1e5d\u1e5f\u1e61\u1e63\u1e65\u1e67\u1e69\u1e6b\u1e6d\u1e6f\u1e71\u1e73\u1e75\u1e77\u1e79\u1e7b\u1e7d\u1e7f\u1e81\u1e83\u1e85\u1e87\u1e89\u1e8b\u1e8d\u1e8f\u1e91\u1e93\u1e95\u00df\u1ea1\u1ea3\u1ea5\u1ea7\u1ea9\u1eab\u1ead\u1eaf\u1eb1\u1eb3\u1eb5\u1eb7\u1eb9\u1ebb\u1ebd\u1ebf\u1ec1\u1ec3\u1ec5\u1ec7\u1ec9\u1ecb\u1ecd\u1ecf\u1ed1\u1ed3\u1ed5\u1ed7\u1ed9\u1edb\u1edd\u1edf\u1ee1\u1ee3\u1ee5\u1ee7\u1ee9\u1eeb\u1eed\u1eef\u1ef1\u1ef3\u1ef5\u1ef7\u1ef9\u1efb\u1efd\u1eff\u1f00\u1f01\u1f02\u1f03\u1f04\u1f05\u1f06\u1f07\u1f10\u1f11\u1f12\u1f13\u1f14\u1f15\u1f20\u1f21\u1f22\u1f23\u1f24\u1f25\u1f26\u1f27\u1f30\u1f31\u1f32\u1f33\u1f34\u1f35\u1f36\u1f37\u1f40\u1f41\u1f42\u1f43\u1f44\u1f45\u1f51\u1f53\u1f55\u1f57\u1f60\u1f61\u1f62\u1f63\u1f64\u1f65\u1f66\u1f67\u1f80\u1f81\u1f82\u1f83\u1f84\u1f85\u1f86\u1f87\u1f90\u1f91\u1f92\u1f93\u1f94\u1f95\u1f96\u1f97\u1fa0\u1fa1\u1fa2\u1fa3\u1fa4\u1fa5\u1fa6\u1fa7\u1fb0\u1fb1\u1f70\u1fb3\u1f72\u1f74\u1fc3\u1fd0\u1fd1\u1f76\u1fe0\u1fe1\u1f7a\u1fe5\u1f78\u1f7c\u1ff3\u0069\u0069');
        value := translate(
            value, blanks, CASE kind WHEN 'folded' THEN repeat(' ', length(blanks)) ELSE '' END);
        value := normalize(replace(value, E'\u00df', 'ss'), NFKC);
    END IF;
    value := btrim(regexp_replace(value, ' {2,}', ' ', 'g'), ' ');
    IF kind = 'coupon' THEN
        value := translate(value, E'\u0061\u0062\u0063\u0064\u0065\u0066\u0067\u0068\u0069\u006a\u006b\u006c\u006d\u006e\u006f\u0070\u0071\u0072\u0073\u0074\u0075\u0076\u0077\u0078\u0079\u007a\u00e0\u00e1\u00e2\u00e3\u00e4\u00e5\u00e6\u00e7\u00e8\u00e9\u00ea\u00eb\u00ec\u00ed\u00ee\u00ef\u00f0\u00f1\u00f2\u00f3\u00f4\u00f5\u00f6\u00f8\u00f9\u00fa\u00fb\u00fc\u00fd\u00fe\u00ff\u0101\u0103\u0105\u0107\u0109\u010b\u010d\u010f\u0111\u0113\u0115\u0117\u0119\u011b\u011d\u011f\u0121\u0123\u0125\u0127\u0129\u012b\u012d\u012f\u0135\u0137\u013a\u013c\u013e\u0142\u0144\u0146\u0148\u014b\u014d\u014f\u0151\u0153\u0155\u0157\u0159\u015b\u015d\u015f\u0161\u0163\u0165\u0167\u0169\u016b\u016d\u016f\u0171\u0173\u0175\u0177\u017a\u017c\u017e\u0180\u0183\u0185\u0188\u018c\u0192\u0195\u0199\u019a\u019e\u01a1\u01a3\u01a5\u01a8\u01ad\u01b0\u01b4\u01b6\u01b9\u01bd\u01bf\u01ce\u01d0\u01d2\u01d4\u01d6\u01d8\u01da\u01dc\u01dd\u01df\u01e1\u01e3\u01e5\u01e7\u01e9\u01eb\u01ed\u01ef\u01f5\u01f9\u01fb\u01fd\u01ff\u0201\u0203\u0205\u0207\u0209\u020b\u020d\u020f\u0211\u0213\u0215\u0217\u0219\u021b\u021d\u021f\u0223\u0225\u0227\u0229\u022b\u022d\u022f\u0231\u0233\u023c\u0242\u0247\u0249\u024b\u024d\u024f\u0253\u0254\u0256\u0257\u0259\u025b\u0260\u0263\u0268\u0269\u026f\u0272\u0275\u0280\u0283\u0288\u0289\u028a\u028b\u028c\u0292\u0371\u0373\u0377\u037b\u037c\u037d\u03ac\u03ad\u03ae\u03af\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7\u03b8\u03b9\u03ba\u03bb\u03bc\u03bd\u03be\u03bf\u03c0\u03c1\u03c3\u03c4\u03c5\u03c6\u03c7\u03c8\u03c9\u03ca\u03cb\u03cc\u03cd\u03ce\u03d7\u03d9\u03db\u03dd\u03df\u03e1\u03e3\u03e5\u03e7\u03e9\u03eb\u03ed\u03ef\u03f3\u03f8\u03fb\u0430\u0431\u0432\u0433\u0434\u0435\u0436\u0437\u0438\u0439\u043a\u043b\u043c\u043d\u043e\u043f\u0440\u0441\u0442\u0443\u0444\u0445\u0446\u0447\u0448\u0449\u044a\u044b\u044c\u044d\u044e\u044f\u0450\u0451\u0452\u0453\u0454\u0455\u0456\u0457\u0458\u0459\u045a\u045b\u045c\u045d\u045e\u045f\u0461\u0463\u0465\u0467\u0469\u046b\u046d\u046f\u0471\u0473\u0475\u0477\u0479\u047b\u047d\u047f\u0481\u048b\u048d\u048f\u0491\u0493\u0495\u0497\u0499\u049b\u049d\u049f\u04a1\u04a3\u04a5\u04a7\u04a9\u04ab\u04ad\u04af\u04b1\u04b3\u04b5\u04b7\u04b9\u04bb\u04bd\u04bf\u04c2\u04c4\u04c6\u04c8\u04ca\u04cc\u04ce\u04cf\u04d1\u04d3\u04d5\u04d7\u04d9\u04db\u04dd\u04df\u04e1\u04e3\u04e5\u04e7\u04e9\u04eb\u04ed\u04ef\u04f1\u04f3\u04f5\u04f7\u04f9\u04fb\u04fd\u04ff\u0501\u0503\u0505\u0507\u0509\u050b\u050d\u050f\u0511\u0513\u0515\u0517\u0519\u051b\u051d\u051f\u0521\u0523\u0525\u0527\u0529\u052b\u052d\u052f\u0561\u0562\u0563\u0564\u0565\u0566\u0567\u0568\u0569\u056a\u056b\u056c\u056d\u056e\u056f\u0570\u0571\u0572\u0573\u0574\u0575\u0576\u0577\u0578\u0579\u057a\u057b\u057c\u057d\u057e\u057f\u0580\u0581\u0582\u0583\u0584\u0585\u0586\u1e01\u1e03\u1e05\u1e07\u1e09\u1e0b\u1e0d\u1e0f\u1e11\u1e13\u1e15\u1e17\u1e19\u1e1b\u1e1d\u1e1f\u1e21\u1e23\u1e25\u1e27\u1e29\u1e2b\u1e2d\u1e2f\u1e31\u1e33\u1e35\u1e37\u1e39\u1e3b\u1e3d\u1e3f\u1e41\u1e43\u1e45\u1e47\u1e49\u1e4b\u1e4d\u1e4f\u1e51\u1e53\u1e55\u1e57\u1e59\u1e5b\u1e5d\u1e5f\u1e61\u1e63\u1e65\u1e67\u1e69\u1e6b\u1e6d\u1e6f\u1e71\u1e73\u1e75\u1e77\u1e79\u1e7b\u1e7d\u1e7f\u1e81\u1e83\u1e85\u1e87\u1e89\u1e8b\u1e8d\u1e8f\u1e91\u1e93\u1e95\u1ea1\u1ea3\u1ea5\u1ea7\u1ea9\u1eab\u1ead\u1eaf\u1eb1\u1eb3\u1eb5\u1eb7\u1eb9\u1ebb\u1ebd\u1ebf\u1ec1\u1ec3\u1ec5\u1ec7\u1ec9\u1ecb\u1ecd\u1ecf\u1ed1\u1ed3\u1ed5\u1ed7\u1ed9\u1edb\u1edd\u1edf\u1ee1\u1ee3\u1ee5\u1ee7\u1ee9\u1eeb\u1eed\u1eef\u1ef1\u1ef3\u1ef5\u1ef7\u1ef9\u1efb\u1efd\u1eff\u1f00\u1f01\u1f02\u1f03\u1f04\u1f05\u1f06\u1f07\u1f10\u1f11\u1f12\u1f13\u1f14\u1f15\u1f20\u1f21\u1f22\u1f23\u1f24\u1f25\u1f26\u1f27\u1f30\u1f31\u1f32\u1f33\u1f34\u1f35\u1f36\u1f37\u1f40\u1f41\u1f42\u1f43\u1f44\u1f45\u1f51\u1f53\u1f55\u1f57\u1f60\u1f61\u1f62\u1f63\u1f64\u1f65\u1f66\u1f67\u1f70\u1f72\u1f74\u1f76\u1f78\u1f7a\u1f7c\u1fb0\u1fb1\u1fd0\u1fd1\u1fe0\u1fe1\u1fe5\u2c65\u2c66', E'\u0041\u0042\u0043\u0044\u0045\u0046\u0047\u0048\u0049\u004a\u004b\u004c\u004d\u004e\u004f\u0050\u0051\u0052\u0053\u0054\u0055\u0056\u0057\u0058\u0059\u005a\u00c0\u00c1\u00c2\u00c3\u00c4\u00c5\u00c6\u00c7\u00c8\u00c9\u00ca\u00cb\u00cc\u00cd\u00ce\u00cf\u00d0\u00d1\u00d2\u00d3\u00d4\u00d5\u00d6\u00d8\u00d9\u00da\u00db\u00dc\u00dd\u00de\u0178\u0100\u0102\u0104\u0106\u0108\u010a\u010c\u010e\u0110\u0112\u0114\u0116\u0118\u011a\u011c\u011e\u0120\u0122\u0124\u0126\u0128\u012a\u012c\u012e\u0134\u0136\u0139\u013b\u013d\u0141\u0143\u0145\u0147\u014a\u014c\u014e\u0150\u0152\u0154\u0156\u0158\u015a\u015c\u015e\u0160\u0162\u0164\u0166\u0168\u016a\u016c\u016e\u0170\u0172\u0174\u0176\u0179\u017b\u017d\u0243\u0182\u0184\u0187\u018b\u0191\u01f6\u0198\u023d\u0220\u01a0\u01a2\u01a4\u01a7\u01ac\u01af\u01b3\u01b5\u01b8\u01bc\u01f7\u01cd\u01cf\u01d1\u01d3\u01d5\u01d7\u01d9\u01db\u018e\u01de\u01e0\u01e2\u01e4\u01e6\u01e8\u01ea\u01ec\u01ee\u01f4\u01f8\u01fa\u01fc\u01fe\u0200\u0202\u0204\u0206\u0208\u020a\u020c\u020e\u0210\u0212\u0214\u0216\u0218\u021a\u021c\u021e\u0222\u0224\u0226\u0228\u022a\u022c\u022e\u0230\u0232\u023b\u0241\u0246\u0248\u024a\u024c\u024e\u0181\u0186\u0189\u018a\u018f\u0190\u0193\u0194\u0197\u0196\u019c\u019d\u019f\u01a6\u01a9\u01ae\u0244\u01b1\u01b2\u0245\u01b7\u0370\u0372\u0376\u03fd\u03fe\u03ff\u0386\u0388\u0389\u038a\u0391\u0392\u0393\u0394\u0395\u0396\u0397\u0398\u0399\u039a\u039b\u039c\u039d\u039e\u039f\u03a0\u03a1\u03a3\u03a4\u03a5\u03a6\u03a7\u03a8\u03a9\u03aa\u03ab\u038c\u038e\u038f\u03cf\u03d8\u03da\u03dc\u03de\u03e0\u03e2\u03e4\u03e6\u03e8\u03ea\u03ec\u03ee\u037f\u03f7\u03fa\u0410\u0411\u0412\u0413\u0414\u0415\u0416\u0417\u0418\u0419\u041a\u041b\u041c\u041d\u041e\u041f\u0420\u0421\u0422\u0423\u0424\u0425\u0426\u0427\u0428\u0429\u042a\u042b\u042c\u042d\u042e\u042f\u0400\u0401\u0402\u0403\u0404\u0405\u0406\u0407\u0408\u0409\u040a\u040b\u040c\u040d\u040e\u040f\u0460\u0462\u0464\u0466\u0468\u046a\u046c\u046e\u0470\u0472\u0474\u0476\u0478\u047a\u047c\u047e\u0480\u048a\u048c\u048e\u0490\u0492\u0494\u0496\u0498\u049a\u049c\u049e\u04a0\u04a2\u04a4\u04a6\u04a8\u04aa\u04ac\u04ae\u04b0\u04b2\u04b4\u04b6\u04b8\u04ba\u04bc\u04be\u04c1\u04c3\u04c5\u04c7\u04c9\u04cb\u04cd\u04c0\u04d0\u04d2\u04d4\u04d6\u04d8\u04da\u04dc\u04de\u04e0\u04e2\u04e4\u04e6\u04e8\u04ea\u04ec\u04ee\u04f0\u04f2\u04f4\u04f6\u04f8\u04fa\u04fc\u04fe\u0500\u0502\u0504\u0506\u0508\u050a\u050c\u050e\u0510\u0512\u0514\u0516\u0518\u051a\u051c\u051e\u0520\u0522\u0524\u0526\u0528\u052a\u052c\u052e\u0531\u0532\u0533\u0534\u0535\u0536\u0537\u0538\u0539\u053a\u053b\u053c\u053d\u053e\u053f\u0540\u0541\u0542\u0543\u0544\u0545\u0546\u0547\u0548\u0549\u054a\u054b\u054c\u054d\u054e\u054f\u0550\u0551\u0552\u0553\u0554\u0555\u0556\u1e00\u1e02\u1e04\u1e06\u1e08\u1e0a\u1e0c\u1e0e\u1e10\u1e12\u1e14\u1e16\u1e18\u1e1a\u1e1c\u1e1e\u1e20\u1e22\u1e24\u1e26\u1e28\u1e2a\u1e2c\u1e2e\u1e30\u1e32\u1e34\u1e36\u1e38\u1e3a\u1e3c\u1e3e\u1e40\u1e42\u1e44\u1e46\u1e48\u1e4a\u1e4c\u1e4e\u1e50\u1e52\u1e54\u1e56\u1e58\u1e5a\u1e5c\u1e5e\u1e60\u1e62\u1e64\u1e66\u1e68\u1e6a\u1e6c\u1e6e\u1e70\u1e72\u1e74\u1e76\u1e78\u1e7a\u1e7c\u1e7e\u1e80\u1e82\u1e84\u1e86\u1e88\u1e8a\u1e8c\u1e8e\u1e90\u1e92\u1e94\u1ea0\u1ea2\u1ea4\u1ea6\u1ea8\u1eaa\u1eac\u1eae\u1eb0\u1eb2\u1eb4\u1eb6\u1eb8\u1eba\u1ebc\u1ebe\u1ec0\u1ec2\u1ec4\u1ec6\u1ec8\u1eca\u1ecc\u1ece\u1ed0\u1ed2\u1ed4\u1ed6\u1ed8\u1eda\u1edc\u1ede\u1ee0\u1ee2\u1ee4\u1ee6\u1ee8\u1eea\u1eec\u1eee\u1ef0\u1ef2\u1ef4\u1ef6\u1ef8\u1efa\u1efc\u1efe\u1f08\u1f09\u1f0a\u1f0b\u1f0c\u1f0d\u1f0e\u1f0f\u1f18\u1f19\u1f1a\u1f1b\u1f1c\u1f1d\u1f28\u1f29\u1f2a\u1f2b\u1f2c\u1f2d\u1f2e\u1f2f\u1f38\u1f39\u1f3a\u1f3b\u1f3c\u1f3d\u1f3e\u1f3f\u1f48\u1f49\u1f4a\u1f4b\u1f4c\u1f4d\u1f59\u1f5b\u1f5d\u1f5f\u1f68\u1f69\u1f6a\u1f6b\u1f6c\u1f6d\u1f6e\u1f6f\u1fba\u1fc8\u1fca\u1fda\u1ff8\u1fea\u1ffa\u1fb8\u1fb9\u1fd8\u1fd9\u1fe8\u1fe9\u1fec\u023a\u023e');
    ELSIF kind = 'look_alike' THEN
        value := translate(value, E'\u0430\u0432\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0451\u0455\u0456\u0457\u0458\u0501\u051b\u051d\u03b1\u03b2\u03b5\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0030\u0031\u006c\u2010\u2011\u2012\u2013\u2014\u2015\u2212', E'\u0061\u0062\u0065\u006b\u006d\u0068\u006f\u0070\u0063\u0074\u0079\u0078\u0065\u0073\u0069\u0069\u006a\u0064\u0071\u0077\u0061\u0062\u0065\u0068\u0069\u006b\u006d\u0076\u006f\u0070\u0074\u0075\u0078\u006f\u0069\u0069\u002d\u002d\u002d\u002d\u002d\u002d\u002d');
    END IF;
    RETURN value;
END $$
"""

NORMALIZE_NAMES = """
CREATE FUNCTION normalize_names() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'variants' THEN
        NEW.sku := normalize_name('seen', NEW.sku);
        NEW.category := nullif(normalize_name('folded', NEW.category), '');
        NEW.look_alike := normalize_name('look_alike', NEW.sku);
    ELSIF TG_TABLE_NAME = 'locations' THEN
        NEW.code := normalize_name('folded', NEW.code);
    ELSIF TG_TABLE_NAME = 'promotions' THEN
        NEW.skus := ARRAY(SELECT normalize_name('seen', sku) FROM unnest(NEW.skus) AS sku);
        NEW.categories := ARRAY(SELECT normalize_name('folded', category)
                                FROM unnest(NEW.categories) AS category);
    ELSIF TG_TABLE_NAME = 'coupons' THEN
        NEW.code := normalize_name('coupon', NEW.code);
    ELSIF TG_TABLE_NAME = 'redemptions' THEN
        NEW.customer := nullif(normalize_name('customer', NEW.customer), '');
    ELSIF TG_TABLE_NAME = 'tax_rates' THEN
        NEW.country := upper(NEW.country COLLATE "C");
        NEW.region := nullif(upper(btrim(NEW.region) COLLATE "C"), '');
        NEW.category := nullif(normalize_name('folded', NEW.category), '');
        NEW.name := normalize_name('seen', NEW.name);
        NEW.name_key := normalize_name('folded', NEW.name);
    END IF;
    RETURN NEW;
END $$
"""

NORMALIZED = {
    "variants": "INSERT OR UPDATE OF sku, category, look_alike",
    "locations": "INSERT OR UPDATE OF code",
    "promotions": "INSERT OR UPDATE OF skus, categories",
    "coupons": "INSERT OR UPDATE OF code",
    "tax_rates": "INSERT OR UPDATE OF country, region, category, name, name_key",
    "redemptions": "INSERT OR UPDATE OF customer",
}

ONCE = ["country", "region", "category"]

FORMER_COUNTRIES = {"UK": "GB", "EL": "GR"}


def upgrade() -> None:
    """Add what is new, make the rows of today so, then let the triggers keep them so."""
    op.execute(sa.text(NORMALIZE_NAME.replace(":", r"\:")))
    op.execute(sa.text(NORMALIZE_NAMES.replace(":", r"\:")))
    _add_columns()
    op.drop_constraint(op.f("coupons_code_check"), "coupons", type_="check")
    op.drop_constraint(op.f("redemptions_code_fkey"), "redemptions", type_="foreignkey")
    _rename("variants", "sku", "seen")
    _rename("locations", "code", "folded")
    _rename_coupons()
    _fill_columns()
    _unite_taxes()
    _constrain()
    for table, what in NORMALIZED.items():
        op.execute(
            f"CREATE TRIGGER normalize_names BEFORE {what} ON {table} FOR EACH ROW EXECUTE FUNCTION normalize_names()"
        )


def _add_columns() -> None:
    op.add_column("carts", sa.Column("tax_id_validated", postgresql.JSONB(), nullable=True))
    op.add_column("price_locks", sa.Column("tax_id_validated", postgresql.JSONB(), nullable=True))
    op.add_column("variants", sa.Column("look_alike", sa.Text(), nullable=True))
    op.add_column("tax_rates", sa.Column("name_key", sa.Text(), nullable=True))


def _rename(table: str, column: str, kind: str) -> dict[str, str]:
    """Write the names as they are normalised; return the old ones with the new ones."""
    connection = op.get_bind()
    renamed = {}
    for id_, old, new in connection.execute(
        sa.text(
            f"SELECT {'code' if table == 'coupons' else 'id'}, {column}, normalize_name('{kind}', {column}) FROM {table}"
            f" WHERE {column} <> normalize_name('{kind}', {column}) ORDER BY 1"
        )
    ).all():
        wanted, number = new or "unnamed", 1
        while connection.scalar(sa.text(f"SELECT true FROM {table} WHERE {column} = :name"), {"name": wanted}):
            number += 1
            wanted = f"{new or 'unnamed'}-{number}"
        if wanted != new:
            log.warning(
                "%s %s: %r is another spelling of %r, which is taken: it is called %r now", table, id_, old, new, wanted
            )
        connection.execute(
            sa.text(f"UPDATE {table} SET {column} = :new WHERE {column} = :old"), {"new": wanted, "old": old}
        )
        renamed[old] = wanted
    return renamed


def _rename_coupons() -> None:
    connection = op.get_bind()
    for old, new in _rename("coupons", "code", "coupon").items():
        connection.execute(sa.text("UPDATE redemptions SET code = :new WHERE code = :old"), {"new": new, "old": old})
    connection.execute(
        sa.text("""
            UPDATE redemptions SET customer = nullif(normalize_name('customer', customer), '')
            WHERE customer <> normalize_name('customer', customer)
        """)
    )


def _fill_columns() -> None:
    op.execute("""
        UPDATE variants SET look_alike = normalize_name('look_alike', sku),
            category = nullif(normalize_name('folded', category), '')
    """)
    op.execute("""
        UPDATE promotions SET skus = ARRAY(SELECT normalize_name('seen', sku) FROM unnest(skus) AS sku),
            categories = ARRAY(SELECT normalize_name('folded', category) FROM unnest(categories) AS category)
    """)
    op.execute("""
        UPDATE tax_rates SET category = nullif(normalize_name('folded', category), ''), region = nullif(btrim(region), ''),
            name = normalize_name('seen', name), name_key = normalize_name('folded', name)
    """)


def _unite_taxes() -> None:
    """Write regions as codes, and end what another spelling of the same tax has followed."""
    connection = op.get_bind()
    op.drop_index("tax_rates_once_key", table_name="tax_rates")
    for former, country in FORMER_COUNTRIES.items():
        parameters = {"former": former, "country": country}
        if connection.execute(
            sa.text("UPDATE tax_rates SET country = :country WHERE country = :former"), parameters
        ).rowcount:
            log.warning("tax_rates: %s is no country of ISO 3166: its rates are those of %s now", former, country)
    unknown = []
    for country, region in connection.execute(
        sa.text("SELECT DISTINCT country, region FROM tax_rates WHERE region IS NOT NULL ORDER BY 1, 2")
    ).all():
        code = _find_region(country, region)
        if code is None:
            unknown.append(f"{region!r} of {country}")
        elif code != region:
            log.warning("tax_rates: %r of %s is written %s now", region, country, code)
            connection.execute(
                sa.text("UPDATE tax_rates SET region = :code WHERE country = :country AND region = :region"),
                {"code": code, "country": country, "region": region},
            )
    if unknown:
        raise RuntimeError(
            f"tax_rates names regions that ISO 3166-2 does not have ({', '.join(unknown)}): "
            "no address would ever be charged them. Correct them by SQL (region = 'CA' for US-CA), then migrate again."
        )
    same = "b.country = a.country AND b.region IS NOT DISTINCT FROM a.region AND b.category IS NOT DISTINCT FROM a.category AND b.name_key = a.name_key AND b.id <> a.id"
    doubled = connection.execute(
        sa.text(f"""
            DELETE FROM tax_rates a USING tax_rates b
            WHERE {same} AND b.id < a.id AND b.valid_from = a.valid_from
              AND (b.rate, b.on_shipping, b.reverse_charge) = (a.rate, a.on_shipping, a.reverse_charge)
              AND b.valid_until IS NOT DISTINCT FROM a.valid_until RETURNING a.id, a.name, b.name
        """)
    ).all()
    for id_, name, kept in doubled:
        log.warning("tax_rates %s: %r is %r, which says the same: it is left out", id_, name, kept)
    clash = connection.execute(
        sa.text(
            f"SELECT a.id, b.id FROM tax_rates a JOIN tax_rates b ON {same} WHERE a.id < b.id AND b.valid_from = a.valid_from"
        )
    ).all()
    if clash:
        raise RuntimeError(
            f"tax_rates has two rates for one tax from one moment, in two spellings (ids {', '.join(f'{a} and {b}' for a, b in clash)}): "
            "both were charged. Delete the wrong ones by SQL, then migrate again."
        )
    ended = connection.execute(
        sa.text("""
            UPDATE tax_rates t SET valid_until = n.next FROM (
                SELECT id, lead(valid_from) OVER (PARTITION BY country, region, category, name_key ORDER BY valid_from) AS next
                FROM tax_rates) n
            WHERE n.id = t.id AND n.next < coalesce(t.valid_until, 'infinity') RETURNING t.id, t.name
        """)
    ).all()
    for id_, name in ended:
        log.warning("tax_rates %s: %r ends where another spelling of it begins", id_, name)


def _find_region(country: str, region: str) -> str | None:
    code = region.upper().removeprefix(f"{country}-")
    names = {
        each.code.partition("-")[2]: each.name.casefold()
        for each in pycountry.subdivisions
        if each.country_code == country
    }
    if code in names or (country == "US" and code in {"AA", "AE", "AP"}):
        return code
    named = [each for each, name in names.items() if name == region.casefold()]
    return named[0] if len(named) == 1 else None


def _constrain() -> None:
    op.alter_column("variants", "look_alike", nullable=False)
    op.alter_column("tax_rates", "name_key", nullable=False)
    op.create_index("variants_look_alike_idx", "variants", ["look_alike"])
    op.create_index(
        "tax_rates_once_key",
        "tax_rates",
        [*ONCE, "name_key", "valid_from"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_foreign_key(op.f("redemptions_code_fkey"), "redemptions", "coupons", ["code"], ["code"])
    op.create_check_constraint(op.f("coupons_code_check"), "coupons", "code <> ''")
    op.create_check_constraint(op.f("variants_sku_check"), "variants", "sku <> ''")
    op.create_check_constraint(op.f("locations_code_check"), "locations", "code <> ''")
    op.create_check_constraint(op.f("tax_rates_country_check"), "tax_rates", """country ~ '^[A-Z]{2}$' COLLATE "C\"""")
    op.create_check_constraint(
        op.f("tax_rates_region_check"), "tax_rates", """region ~ '^[A-Z0-9]{1,3}$' COLLATE "C\""""
    )
    op.create_check_constraint(op.f("tax_rates_name_check"), "tax_rates", "name <> ''")
    op.create_check_constraint(
        op.f("carts_tax_id_validated_check"), "carts", "tax_id IS NOT NULL OR tax_id_validated IS NULL"
    )


def downgrade() -> None:
    """Go back: names stay as they are normalised."""
    for table in NORMALIZED:
        op.execute(f"DROP TRIGGER normalize_names ON {table}")
    op.execute("DROP FUNCTION normalize_names()")
    op.execute("DROP FUNCTION normalize_name(text, text)")
    for name, table in [
        ("carts_tax_id_validated_check", "carts"),
        ("tax_rates_name_check", "tax_rates"),
        ("tax_rates_region_check", "tax_rates"),
        ("tax_rates_country_check", "tax_rates"),
        ("locations_code_check", "locations"),
        ("variants_sku_check", "variants"),
        ("coupons_code_check", "coupons"),
    ]:
        op.drop_constraint(op.f(name), table, type_="check")
    op.create_check_constraint(op.f("coupons_code_check"), "coupons", "code = upper(btrim(code)) AND code <> ''")
    op.drop_index("tax_rates_once_key", table_name="tax_rates")
    op.create_index(
        "tax_rates_once_key",
        "tax_rates",
        [*ONCE, "name", "valid_from"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.drop_index("variants_look_alike_idx", table_name="variants")
    op.drop_column("tax_rates", "name_key")
    op.drop_column("variants", "look_alike")
    op.drop_column("price_locks", "tax_id_validated")
    op.drop_column("carts", "tax_id_validated")
