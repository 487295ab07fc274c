"""How carriers talk: SMPP 3.4 for both roles, as values and decisions, without I/O.

constants   the protocol's numbers and their names
layouts     the mandatory fields of every PDU and the shape of every TLV, as tables
pdu         bytes to PDUs and back, and the framing of a stream
states      which commands each role may send in each bind state
events      what a session tells its caller
session     one connection: binds, window, sequence numbers, timers
concat      the parts of a long message: user data headers and sar_* TLVs
receipts    delivery receipts, read and written
"""
