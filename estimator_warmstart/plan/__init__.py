"""What goes where, decided and checked as plain data. Makes no session and reads no value."""
