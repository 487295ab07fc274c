"""What happens next: the one place where core, store and providers meet.

Read accept, dispatch, receive, settle, amend and sweep, in that order, and you have read the
product.
"""
