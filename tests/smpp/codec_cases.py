"""One PDU of every kind, as octets and as a value: read both ways, and by others' decoders."""

from __future__ import annotations

from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu

CODEC_CASES: list[tuple[str, str, Pdu]] = [
    (
        "bind_transmitter",
        "0000002f000000020000000000000001534d50503354455354007365637265743038005355424d49"
        "54310034010100",
        Pdu(
            c.BIND_TRANSMITTER,
            0x0,
            1,
            {
                "system_id": b"SMPP3TEST",
                "password": b"secret08",
                "system_type": b"SUBMIT1",
                "interface_version": 52,
                "addr_ton": 1,
                "addr_npi": 1,
                "address_range": b"",
            },
            (),
            None,
        ),
    ),
    (
        "bind_receiver",
        "00000034000000010000000000000002534d50503354455354007365637265743038005355424d49"
        "5431003401015e3439313700",
        Pdu(
            c.BIND_RECEIVER,
            0x0,
            2,
            {
                "system_id": b"SMPP3TEST",
                "password": b"secret08",
                "system_type": b"SUBMIT1",
                "interface_version": 52,
                "addr_ton": 1,
                "addr_npi": 1,
                "address_range": b"^4917",
            },
            (),
            None,
        ),
    ),
    (
        "bind_transceiver",
        "0000002f000000090000000000000003534d50503354455354007365637265743038005355424d49"
        "54310034010100",
        Pdu(
            c.BIND_TRANSCEIVER,
            0x0,
            3,
            {
                "system_id": b"SMPP3TEST",
                "password": b"secret08",
                "system_type": b"SUBMIT1",
                "interface_version": 52,
                "addr_ton": 1,
                "addr_npi": 1,
                "address_range": b"",
            },
            (),
            None,
        ),
    ),
    (
        "bind_transmitter_resp",
        "0000001d80000002000000000000000143415252494552000210000134",
        Pdu(c.BIND_TRANSMITTER_RESP, 0x0, 1, {"system_id": b"CARRIER"}, ((528, b"4"),), None),
    ),
    (
        "bind_receiver_resp",
        "000000188000000100000000000000024341525249455200",
        Pdu(c.BIND_RECEIVER_RESP, 0x0, 2, {"system_id": b"CARRIER"}, (), None),
    ),
    (
        "bind_transceiver_resp_refused",
        "00000010800000090000000e00000003",
        Pdu(c.BIND_TRANSCEIVER_RESP, 0xE, 3, {}, (), b""),
    ),
    (
        "outbind",
        "0000001e0000000b000000000000000143415252494552006b6e6f636b00",
        Pdu(c.OUTBIND, 0x0, 1, {"system_id": b"CARRIER", "password": b"knock"}, (), None),
    ),
    (
        "unbind",
        "00000010000000060000000000000009",
        Pdu(c.UNBIND, 0x0, 9, {}, (), None),
    ),
    (
        "unbind_resp",
        "00000010800000060000000000000009",
        Pdu(c.UNBIND_RESP, 0x0, 9, {}, (), None),
    ),
    (
        "enquire_link",
        "0000001000000015000000007fffffff",
        Pdu(c.ENQUIRE_LINK, 0x0, 2147483647, {}, (), None),
    ),
    (
        "enquire_link_resp",
        "0000001080000015000000007fffffff",
        Pdu(c.ENQUIRE_LINK_RESP, 0x0, 2147483647, {}, (), None),
    ),
    (
        "generic_nack",
        "0000001080000000000000030000004d",
        Pdu(c.GENERIC_NACK, 0x3, 77, {}, (), None),
    ),
    (
        "submit_sm_udh_ucs2",
        "00000063000000040000000000000004434d540005004152524956414c5300010134393137303132"
        "333435363738004000013236313132323132303030303030302b0030303030303130303030303030"
        "30305200110008000a050003420201006800e9",
        Pdu(
            c.SUBMIT_SM,
            0x0,
            4,
            {
                "service_type": b"CMT",
                "source_addr_ton": 5,
                "source_addr_npi": 0,
                "source_addr": b"ARRIVALS",
                "dest_addr_ton": 1,
                "dest_addr_npi": 1,
                "destination_addr": b"4917012345678",
                "esm_class": 64,
                "protocol_id": 0,
                "priority_flag": 1,
                "schedule_delivery_time": b"261122120000000+",
                "validity_period": b"000001000000000R",
                "registered_delivery": 17,
                "replace_if_present_flag": 0,
                "data_coding": 8,
                "sm_default_msg_id": 0,
                "short_message": b"\x05\x00\x03B\x02\x01\x00h\x00\xe9",
            },
            (),
            None,
        ),
    ),
    (
        "submit_sm_payload",
        "000000620000000400000000000000050005004152524956414c5300010134393137303132333435"
        "3637380000000100001100000000042400096c6f6e672074657874020400021234020c0002000702"
        "0e000102020f000101150300053236323031",
        Pdu(
            c.SUBMIT_SM,
            0x0,
            5,
            {
                "service_type": b"",
                "source_addr_ton": 5,
                "source_addr_npi": 0,
                "source_addr": b"ARRIVALS",
                "dest_addr_ton": 1,
                "dest_addr_npi": 1,
                "destination_addr": b"4917012345678",
                "esm_class": 0,
                "protocol_id": 0,
                "priority_flag": 1,
                "schedule_delivery_time": b"",
                "validity_period": b"",
                "registered_delivery": 17,
                "replace_if_present_flag": 0,
                "data_coding": 0,
                "sm_default_msg_id": 0,
                "short_message": b"",
            },
            (
                (1060, b"long text"),
                (516, b"\x124"),
                (524, b"\x00\x07"),
                (526, b"\x02"),
                (527, b"\x01"),
                (5379, b"26201"),
            ),
            None,
        ),
    ),
    (
        "submit_sm_resp",
        "00000013800000040000000000000004374600",
        Pdu(c.SUBMIT_SM_RESP, 0x0, 4, {"message_id": b"7F"}, (), None),
    ),
    (
        "submit_sm_resp_throttled",
        "00000010800000040000005800000005",
        Pdu(c.SUBMIT_SM_RESP, 0x58, 5, {}, (), b""),
    ),
    (
        "submit_sm_resp_vendor_status",
        "0000001180000004000004330000000600",
        Pdu(c.SUBMIT_SM_RESP, 0x433, 6, {"message_id": b""}, (), None),
    ),
    (
        "deliver_sm_receipt",
        "000000a900000005000000000000000a000101343931373031323334353637380005004152524956"
        "414c53000400000000000000006069643a3746207375623a30303120646c7672643a303031207375"
        "626d697420646174653a3236313132323132303020646f6e6520646174653a323631313232313230"
        "3120737461743a44454c49565244206572723a30303020746578743a6869001e0003374600042700"
        "010204230003030000",
        Pdu(
            c.DELIVER_SM,
            0x0,
            10,
            {
                "service_type": b"",
                "source_addr_ton": 1,
                "source_addr_npi": 1,
                "source_addr": b"4917012345678",
                "dest_addr_ton": 5,
                "dest_addr_npi": 0,
                "destination_addr": b"ARRIVALS",
                "esm_class": 4,
                "protocol_id": 0,
                "priority_flag": 0,
                "schedule_delivery_time": b"",
                "validity_period": b"",
                "registered_delivery": 0,
                "replace_if_present_flag": 0,
                "data_coding": 0,
                "sm_default_msg_id": 0,
                "short_message": (
                    b"id:7F sub:001 dlvrd:001 submit date:2611221200 done date:2611221201 "
                    b"stat:DELIVRD err:000 text:hi"
                ),
            },
            ((30, b"7F\x00"), (1063, b"\x02"), (1059, b"\x03\x00\x00")),
            None,
        ),
    ),
    (
        "deliver_sm_resp",
        "0000001180000005000000000000000a00",
        Pdu(c.DELIVER_SM_RESP, 0x0, 10, {"message_id": b""}, (), None),
    ),
    (
        "submit_multi",
        "0000006a00000021000000000000000b434d540005004152524956414c5300020101013439313730"
        "31323334353637380002667269656e6473000000013236313132323132303030303030302b003030"
        "3030303130303030303030303052001100000006746f20616c6c",
        Pdu(
            c.SUBMIT_MULTI,
            0x0,
            11,
            {
                "service_type": b"CMT",
                "source_addr_ton": 5,
                "source_addr_npi": 0,
                "source_addr": b"ARRIVALS",
                "esm_class": 0,
                "protocol_id": 0,
                "priority_flag": 1,
                "schedule_delivery_time": b"261122120000000+",
                "validity_period": b"000001000000000R",
                "registered_delivery": 17,
                "replace_if_present_flag": 0,
                "data_coding": 0,
                "sm_default_msg_id": 0,
                "short_message": b"to all",
                "dest_addresses": b"\x02\x01\x01\x014917012345678\x00\x02friends\x00",
            },
            (),
            None,
        ),
    ),
    (
        "submit_multi_resp",
        "0000002880000021000000000000000b38300001010134393137303132333435363738000000000b",
        Pdu(
            c.SUBMIT_MULTI_RESP,
            0x0,
            11,
            {
                "message_id": b"80",
                "unsuccess_smes": b"\x01\x01\x014917012345678\x00\x00\x00\x00\x0b",
            },
            (),
            None,
        ),
    ),
    (
        "data_sm",
        "0000004300000103000000000000000c434d54000101313230363535353031303000010134393137"
        "303132333435363738000001000424000a627920646174615f736d",
        Pdu(
            c.DATA_SM,
            0x0,
            12,
            {
                "service_type": b"CMT",
                "source_addr_ton": 1,
                "source_addr_npi": 1,
                "source_addr": b"12065550100",
                "dest_addr_ton": 1,
                "dest_addr_npi": 1,
                "destination_addr": b"4917012345678",
                "esm_class": 0,
                "registered_delivery": 1,
                "data_coding": 0,
            },
            ((1060, b"by data_sm"),),
            None,
        ),
    ),
    (
        "data_sm_resp",
        "0000001880000103000000000000000c3831000425000100",
        Pdu(c.DATA_SM_RESP, 0x0, 12, {"message_id": b"81"}, ((1061, b"\x00"),), None),
    ),
    (
        "query_sm",
        "0000002100000003000000000000000d3746000101313230363535353031303000",
        Pdu(
            c.QUERY_SM,
            0x0,
            13,
            {
                "message_id": b"7F",
                "source_addr_ton": 1,
                "source_addr_npi": 1,
                "source_addr": b"12065550100",
            },
            (),
            None,
        ),
    ),
    (
        "query_sm_resp",
        "0000002680000003000000000000000d3746003236313132323132303130303030302b000200",
        Pdu(
            c.QUERY_SM_RESP,
            0x0,
            13,
            {
                "message_id": b"7F",
                "final_date": b"261122120100000+",
                "message_state": 2,
                "error_code": 0,
            },
            (),
            None,
        ),
    ),
    (
        "cancel_sm",
        "0000003200000008000000000000000e003746000101313230363535353031303000010134393137"
        "30313233343536373800",
        Pdu(
            c.CANCEL_SM,
            0x0,
            14,
            {
                "service_type": b"",
                "message_id": b"7F",
                "source_addr_ton": 1,
                "source_addr_npi": 1,
                "source_addr": b"12065550100",
                "dest_addr_ton": 1,
                "dest_addr_npi": 1,
                "destination_addr": b"4917012345678",
            },
            (),
            None,
        ),
    ),
    (
        "cancel_sm_resp",
        "0000001080000008000000110000000e",
        Pdu(c.CANCEL_SM_RESP, 0x11, 14, {}, (), None),
    ),
    (
        "replace_sm",
        "0000003100000007000000000000000f3746000101313230363535353031303000000001000b6f74"
        "68657220776f726473",
        Pdu(
            c.REPLACE_SM,
            0x0,
            15,
            {
                "message_id": b"7F",
                "source_addr_ton": 1,
                "source_addr_npi": 1,
                "source_addr": b"12065550100",
                "schedule_delivery_time": b"",
                "validity_period": b"",
                "registered_delivery": 1,
                "sm_default_msg_id": 0,
                "short_message": b"other words",
            },
            (),
            None,
        ),
    ),
    (
        "replace_sm_resp",
        "0000001080000007000000000000000f",
        Pdu(c.REPLACE_SM_RESP, 0x0, 15, {}, (), None),
    ),
    (
        "alert_notification",
        "0000002e000001020000000000000010010131323036353535303130300005004152524956414c53"
        "000422000100",
        Pdu(
            c.ALERT_NOTIFICATION,
            0x0,
            16,
            {
                "source_addr_ton": 1,
                "source_addr_npi": 1,
                "source_addr": b"12065550100",
                "esme_addr_ton": 5,
                "esme_addr_npi": 0,
                "esme_addr": b"ARRIVALS",
            },
            ((1058, b"\x00"),),
            None,
        ),
    ),
    (
        "unknown_command",
        "00000014000102030000000000000011deadbeef",
        Pdu(0x10203, 0x0, 17, {}, (), b"\xde\xad\xbe\xef"),
    ),
    (
        "unknown_response",
        "0000001180010203000005000000001100",
        Pdu(0x80010203, 0x500, 17, {}, (), b"\x00"),
    ),
]
